"""Lists of instances, and one instance: its status alone, its facts, with its payloads, its children."""

from __future__ import annotations

from django.db.models import Q

from orchestrations.client import decoding
from orchestrations.client.queries.cursors import make_token, read_token
from orchestrations.client.queries.filters import InstanceFilter, admitted
from orchestrations.client.queries.history import read_input
from orchestrations.client.queries.hubs import key_of
from orchestrations.client.queries.rows import details, facts, named, read_all, read_one, summaries
from orchestrations.client.queries.stuck import find_deferred
from orchestrations.client.status import (
    ChildSummary,
    InstanceDetail,
    InstanceFacts,
    InstancePage,
    InstanceVersion,
)
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store import instances
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
    found = read_all(rows.order_by("-created_at", "-id")[: size + 1])
    last = found[size - 1][0] if len(found) > size else None
    next_token = make_token(hub, last.created_at, last.pk, where) if last else ""
    return InstancePage(rows=tuple(decoding.summary(*row) for row in found[:size]), token=next_token)


def find_instance(hub: str, instance_id: str) -> InstanceDetail | None:
    """Return the instance with its payloads, or None."""
    found = read_one(details(named(hub, instance_id)))
    if found is None:
        return None
    row, deferred = found
    return decoding.detail(row, deferred, read_input(row.pk, row.schedule.execution))


def get_instance(hub: str, instance_id: str) -> InstanceDetail:
    """Return the instance with its payloads. Raises `InstanceNotFoundError`."""
    found = find_instance(hub, instance_id)
    if found is None:
        raise InstanceNotFoundError(instance_id)
    return found


def find_facts(hub: str, instance_id: str) -> InstanceFacts | None:
    """Return the instance without its payloads, or None."""
    found = read_one(facts(named(hub, instance_id)))
    return decoding.facts(*found) if found else None


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
    key = key_of(hub)
    return None if key is None else instances.find_status(key, instance_id)


def find_version(hub: str, instance_id: str) -> InstanceVersion | None:
    """Return what tells whether anything of an instance has changed, or None if there is none. Two small reads."""
    columns = ("pk", "schedule__execution", "schedule__position", "schedule__revision", "status")
    found = named(hub, instance_id).values_list(*columns).first()
    if found is None:
        return None
    pk, execution, position, revision, status = found
    return InstanceVersion(execution, position, revision, Status(status), pk in find_deferred([pk]))


def list_children(hub: str, instance_id: str, *, size: int = PAGE_SIZE) -> tuple[ChildSummary, ...]:
    """Return the instance's sub-orchestrations, oldest first."""
    rows = Instance.objects.filter(hub_id=key_of(hub), parent__in=named(hub, instance_id))
    values = rows.order_by("id").values_list("instance_id", "name", "status")[:size]
    return tuple(ChildSummary(instance_id=i, name=n, status=Status(s)) for i, n, s in values)
