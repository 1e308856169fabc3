"""Who acts: Session → Actor, and whoever runs a command."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """The roles. Each is a Django group of this name; a superuser is an admin besides."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name that the audit keeps, the user behind it, and what it is allowed to be.

    `is_console`: who runs a command where the database can be reached, and so may do all that the audit can only note.
    """

    name: str
    user_id: int | None
    roles: frozenset[Role]
    is_console: bool = False


def actor_from_user(user: Any) -> Actor | None:
    """Return the actor of a signed-in, active user, or None for anybody else. One query."""
    if not (user and user.is_authenticated and user.is_active):
        return None
    names = set(user.groups.values_list("name", flat=True))
    roles = {role for role in Role if role.value in names}
    if user.is_superuser:
        roles.add(Role.ADMIN)
    return Actor(name=user.get_username(), user_id=user.pk, roles=frozenset(roles))


def console() -> Actor:
    """Return the actor of a command: the system's user who runs it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        name = "unknown"
    return Actor(name=f"{name} (command line)", user_id=None, roles=frozenset(Role), is_console=True)
