"""Lists of instances, and one instance: its status alone, its facts, with its payloads, its children."""

from __future__ import annotations

from django.db.models import Q

from orchestrations.client import decoding
from orchestrations.client.queries import stuck
from orchestrations.client.queries.cursors import make_token, read_token
from orchestrations.client.queries.filters import InstanceFilter, admitted
from orchestrations.client.queries.history import read_input
from orchestrations.client.queries.rows import details, facts, named, summaries
from orchestrations.client.status import (
    ChildSummary,
    InstanceDetail,
    InstanceFacts,
    InstancePage,
    InstanceVersion,
)
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store.models import Instance, Payload

PAGE_SIZE = 100
PAGE_LIMIT = 1000
PAYLOADS = {"input": "input", "output": "output", "custom-status": "custom_status"}
"""A payload's public name → its column."""


def list_instances(hub: str, where: InstanceFilter, *, token: str = "", size: int = PAGE_SIZE) -> InstancePage:
    """Return up to `size` (at most 1000) instances, newest created first, that `where` admits (QRY-3).

    Raises `InvalidError` (`cursor.invalid`) for a token that is damaged, foreign or of another filter.
    """
    rows = summaries(admitted(hub, where))
    if token:
        created_at, pk = read_token(token, hub, where)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=pk))
    size = max(1, min(size, PAGE_LIMIT))
    found = list(rows.order_by("-created_at", "-id")[: size + 1])
    more = len(found) > size
    found = found[:size]
    last = found[-1] if more else None
    next_token = make_token(hub, last.created_at, last.pk, where) if last else ""
    blocked = stuck.explain(found)
    return InstancePage(rows=tuple(decoding.summary(row, blocked.get(row.pk)) for row in found), token=next_token)


def find_instance(hub: str, instance_id: str) -> InstanceDetail | None:
    """Return the instance with its payloads, or None."""
    row = details(named(hub, instance_id)).first()
    if row is None:
        return None
    return decoding.detail(row, stuck.explain([row]).get(row.pk), read_input(row.pk, row.schedule.execution))


def get_instance(hub: str, instance_id: str) -> InstanceDetail:
    """Return the instance with its payloads. Raises `InstanceNotFoundError`."""
    found = find_instance(hub, instance_id)
    if found is None:
        raise InstanceNotFoundError(instance_id)
    return found


def find_facts(hub: str, instance_id: str) -> InstanceFacts | None:
    """Return the instance without its payloads, or None."""
    row = facts(named(hub, instance_id)).first()
    return decoding.facts(row, stuck.explain([row]).get(row.pk)) if row else None


def get_facts(hub: str, instance_id: str) -> InstanceFacts:
    """Return the instance without its payloads. Raises `InstanceNotFoundError`."""
    found = find_facts(hub, instance_id)
    if found is None:
        raise InstanceNotFoundError(instance_id)
    return found


def find_payload(hub: str, instance_id: str, name: str) -> str | None:
    """Return the stored JSON text of `input`, `output` or `custom-status`; None if it, or the instance, is absent."""
    row = named(hub, instance_id).values_list("pk", "schedule__execution").first()
    if row is None or name not in PAYLOADS:
        return None
    return (
        read_input(*row)
        if name == "input"
        else Payload.objects.filter(pk=row[0]).values_list(PAYLOADS[name], flat=True).first()
    )


def read_status(hub: str, instance_id: str) -> Status | None:
    """Return the instance's status alone, or None: the cheapest question, for who waits."""
    found = named(hub, instance_id).values_list("status", flat=True).first()
    return Status(found) if found else None


def find_version(hub: str, instance_id: str) -> InstanceVersion | None:
    """Return what tells whether anything of an instance has changed, or None if there is none. One small read."""
    rows = named(hub, instance_id)
    found = rows.values_list("schedule__execution", "schedule__position", "schedule__revision", "status").first()
    return InstanceVersion(found[0], found[1], found[2], Status(found[3])) if found else None


def list_children(hub: str, instance_id: str, *, size: int = PAGE_SIZE) -> tuple[ChildSummary, ...]:
    """Return the instance's sub-orchestrations, oldest first."""
    rows = Instance.objects.filter(parent__in=named(hub, instance_id))
    values = rows.order_by("id").values_list("instance_id", "name", "status")[:size]
    return tuple(ChildSummary(instance_id=i, name=n, status=Status(s)) for i, n, s in values)
