"""Permissions, who holds them, and `can`: the one policy function that pages, operations and sockets ask."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType

from orchestrations.conf import conf
from orchestrations.control.actors import Actor, Role


class Permission(StrEnum):
    """What may be granted, under the names that API keys use as scopes."""

    INSTANCES_READ = "instances:read"
    PAYLOADS_READ = "payloads:read"
    INSTANCES_START = "instances:start"
    EVENTS_WRITE = "events:write"
    INSTANCES_CONTROL = "instances:control"
    INSTANCES_TERMINATE = "instances:terminate"
    APPROVALS_DECIDE = "approvals:decide"
    AUDIT_READ = "audit:read"


_READ = frozenset({Permission.INSTANCES_READ, Permission.PAYLOADS_READ})
_OPERATE = _READ | {
    Permission.INSTANCES_START,
    Permission.EVENTS_WRITE,
    Permission.INSTANCES_CONTROL,
    Permission.INSTANCES_TERMINATE,
}

GRANTS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: _READ,
        Role.APPROVER: _READ | {Permission.APPROVALS_DECIDE},
        Role.OPERATOR: _OPERATE,
        # An admin runs the system and decides nothing in it, unless he is an approver as well.
        Role.ADMIN: _OPERATE | {Permission.AUDIT_READ},
    }
)
"""Deny by default: what is not listed here nobody may do."""


def can(actor: Actor | None, permission: Permission, hub: str) -> bool:
    """Tell whether `actor` may do this in `hub`. (Roles hold for every hub until grants per hub arrive.)"""
    return bool(hub) and actor is not None and any(permission in GRANTS[role] for role in actor.roles)


def roles_with(permission: Permission) -> tuple[Role, ...]:
    """Return the roles that hold a permission, to name them to who lacks it."""
    return tuple(role for role in Role if permission in GRANTS[role])


def is_approval(event_name: str) -> bool:
    """Tell whether an event of this name is a decision, which only an approver may send."""
    return fnmatchcase(event_name.casefold(), conf.APPROVAL_PATTERN.casefold())
