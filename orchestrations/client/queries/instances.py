"""The read side: lists by keyset, one instance, its history, counts. Frozen values, never models or query sets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core import signing
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Left, StrIndex
from django.db.models.lookups import Exact, GreaterThan

from orchestrations.client import decoding
from orchestrations.client.status import (
    AuditRow,
    ChildSummary,
    Health,
    HistoryPage,
    HistoryRow,
    InstanceDetail,
    InstancePage,
    StatusCounts,
)
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError, InvalidError
from orchestrations.store import clock, codec
from orchestrations.store.models import AuditEntry, HistoryEvent, Instance, Supervisor, TaskHub, Worker

PAGE_SIZE = 100
PAGE_LIMIT = 1000
COUNT_LIMIT = 10_000
SALT = "orchestrations.cursor"


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """What to list, joined by and; bounds are inclusive (QRY-2)."""

    statuses: frozenset[Status] = frozenset()
    name_prefix: str = ""
    instance_id_prefix: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    completed_from: datetime | None = None
    completed_to: datetime | None = None
    tags: tuple[tuple[str, str | None], ...] = field(default=())
    custom_status: str = ""
    blocked: bool | None = None
    parent: str = ""

    def digest(self) -> str:
        """A short text that differs whenever the filter does; it is part of every continuation token."""
        values = asdict(self) | {"statuses": sorted(self.statuses)}
        return hashlib.sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()[:16]


class Marks(NamedTuple):
    """An instance's execution, length of history, revision and status."""

    execution_id: str
    history_length: int
    revision: int
    status: Status


def list_instances(hub: str, where: InstanceFilter, *, token: str = "", size: int = PAGE_SIZE) -> InstancePage:
    """Return up to `size` (at most 1000) instances, newest created first, that `where` admits (QRY-3).

    Raises `InvalidError` (`cursor.invalid`) for a token that is damaged, foreign or of another filter.
    """
    rows = _filtered(hub, where)
    if token:
        created_at, pk = _read_token(token, where)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=pk))
    size = max(1, min(size, PAGE_LIMIT))
    found = list(rows.order_by("-created_at", "-id")[: size + 1])
    more = len(found) > size
    found = found[:size]
    last = found[-1] if more else None
    next_token = _make_token(last.created_at, last.pk, where) if last else ""
    return InstancePage(rows=tuple(decoding.summary(row) for row in found), token=next_token)


def count_newer(hub: str, where: InstanceFilter, created_at: datetime | None, *, limit: int = PAGE_SIZE) -> int:
    """Return how many instances that `where` admits were created after an instant (None: ever), cut at `limit`."""
    rows = _filtered(hub, where)
    if created_at is not None:
        rows = rows.filter(created_at__gt=created_at)
    return rows.order_by()[:limit].count()


def list_hubs() -> tuple[str, ...]:
    """Return the names of the task hubs."""
    return tuple(TaskHub.objects.order_by("name").values_list("name", flat=True))


def count_instances(hub: str, where: InstanceFilter, *, limit: int = COUNT_LIMIT) -> StatusCounts:
    """Return how many instances `where` admits for each status, exactly up to `limit`, then "at least" (QRY-4)."""
    counts: dict[Status, int] = {}
    at_least = set()
    for status in Status:
        if where.statuses and status not in where.statuses:
            continue
        number = _filtered(hub, where).filter(status=status).order_by()[: limit + 1].count()
        if number > limit:
            at_least.add(status)
        if number:
            counts[status] = min(number, limit)
    return StatusCounts(counts=counts, at_least=frozenset(at_least))


def find_instance(hub: str, instance_id: str) -> InstanceDetail | None:
    """Return the instance with its payloads, or None."""
    row = _named(hub, instance_id).select_related("parent").first()
    return decoding.detail(row) if row else None


def read_status(hub: str, instance_id: str) -> Status | None:
    """Return the instance's status alone, or None: the cheapest question, for who waits."""
    found = _named(hub, instance_id).values_list("status", flat=True).first()
    return Status(found) if found else None


def get_instance(hub: str, instance_id: str) -> InstanceDetail:
    """Return the instance with its payloads; `InstanceNotFoundError` if there is none."""
    found = find_instance(hub, instance_id)
    if found is None:
        raise InstanceNotFoundError(instance_id)
    return found


def find_marks(hub: str, instance_id: str) -> Marks | None:
    """Return what tells whether anything of an instance has changed, or None if there is none. One small read."""
    rows = _named(hub, instance_id)
    found = rows.values_list("execution", "next_sequence", "revision", "status").first()
    return Marks(found[0], found[1], found[2], Status(found[3])) if found else None


def list_history(hub: str, instance_id: str, *, start: int = 0, size: int | None = None) -> HistoryPage:
    """Return the present execution's history events from sequence `start` on, in order.

    Raises `InstanceNotFoundError`.
    """
    row = _named(hub, instance_id).only("execution", "next_sequence").first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    events = HistoryEvent.objects.filter(instance_id=row.pk, execution=row.execution, sequence__gte=start)
    values = events.order_by("sequence").values_list("sequence", "kind", "body")
    page = values[:size] if size is not None else values
    rows = tuple(HistoryRow(sequence=s, kind=k, members=json.loads(b)) for s, k, b in page)
    return HistoryPage(execution_id=row.execution, rows=rows, total=row.next_sequence)


def list_children(hub: str, instance_id: str, *, size: int = PAGE_SIZE) -> tuple[ChildSummary, ...]:
    """Return the instance's sub-orchestrations, oldest first."""
    rows = Instance.objects.filter(hub__name=hub, parent__in=_named(hub, instance_id))
    values = rows.order_by("id").values_list("instance_id", "name", "status")[:size]
    return tuple(ChildSummary(instance_id=i, name=n, status=Status(s)) for i, n, s in values)


def list_audit(hub: str, instance_id: str, *, size: int = PAGE_SIZE) -> tuple[AuditRow, ...]:
    """Return what was done to the instance, newest first."""
    if not codec.is_storable(hub + instance_id):
        return ()
    rows = AuditEntry.objects.filter(hub__name=hub, instance_id=instance_id).order_by("-id")
    values = rows.values_list("at", "actor", "action", "instance_id", "reason", "result")[:size]
    return tuple(AuditRow(*row) for row in values)


def read_health(*, worker_timeout_seconds: float = 30.0) -> Health:
    """Return how many workers are alive and how long ago any supervisor swept."""
    now = clock.now()
    workers = Worker.objects.filter(seen_at__gte=now - timedelta(seconds=worker_timeout_seconds)).count()
    swept = Supervisor.objects.exclude(swept_at=None).order_by("-swept_at").values_list("swept_at", flat=True).first()
    age = (now - swept).total_seconds() if swept else None
    return Health(workers=workers, sweep_age_seconds=age)


def _named(hub: str, instance_id: str) -> QuerySet[Instance]:
    """Return the rows with that id: one or none. PostgreSQL refuses to be asked for what it cannot hold."""
    if not codec.is_storable(hub + instance_id):
        return Instance.objects.none()
    return Instance.objects.filter(hub__name=hub, instance_id=instance_id)


def _filtered(hub: str, where: InstanceFilter) -> QuerySet[Instance]:
    rows = Instance.objects.filter(hub__name=hub).select_related("parent").defer("input", "output", "failure")
    if where.statuses:
        rows = rows.filter(status__in=where.statuses)
    for name in ("created", "updated", "completed"):
        for bound, operator in (("from", "gte"), ("to", "lte")):
            value = getattr(where, f"{name}_{bound}")
            if value is not None:
                rows = rows.filter(**{f"{name}_at__{operator}": value})
    return _filtered_by_text(rows, where)


def _filtered_by_text(rows: QuerySet[Instance], where: InstanceFilter) -> QuerySet[Instance]:
    texts = [where.name_prefix, where.instance_id_prefix, where.custom_status, where.parent]
    if not all(map(codec.is_storable, [*texts, *(text or "" for tag in where.tags for text in tag)])):
        return rows.none()
    for name, prefix in (("name", where.name_prefix), ("instance_id", where.instance_id_prefix)):
        if prefix:  # SQLite's LIKE, behind `startswith`, does not tell a from A
            rows = rows.filter(Exact(Left(name, len(prefix)), prefix), **{f"{name}__startswith": prefix})
    for key, value in where.tags:
        member = json.dumps(key, ensure_ascii=False) + ":"
        member += "" if value is None else json.dumps(value, ensure_ascii=False)
        found = [GreaterThan(StrIndex("tags", Value(before + member)), 0) for before in "{,"]
        rows = rows.filter(Q(found[0]) | Q(found[1]))
    if where.custom_status:
        rows = rows.filter(custom_status__icontains=where.custom_status)
    if where.blocked is not None:
        rows = rows.exclude(blocked="") if where.blocked else rows.filter(blocked="")
    if where.parent:
        rows = rows.filter(parent__instance_id=where.parent)
    return rows


def _make_token(created_at: datetime, pk: int, where: InstanceFilter) -> str:
    return signing.dumps([created_at.isoformat(), pk, where.digest()], salt=SALT, compress=True)


def _read_token(token: str, where: InstanceFilter) -> tuple[datetime, int]:
    try:
        content: Any = signing.loads(token, salt=SALT)
        created_at, pk, digest = content
        if digest != where.digest():
            raise ValueError("of another filter")
        return datetime.fromisoformat(created_at), int(pk)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise InvalidError(
            f"The continuation token is not valid ({error}). Start again without it.", code="cursor.invalid"
        ) from None
