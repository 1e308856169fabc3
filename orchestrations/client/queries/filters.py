"""What to list and count, and the rows that it admits."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Left, StrIndex
from django.db.models.lookups import Exact, GreaterThan

from orchestrations.client.queries.hubs import key_of
from orchestrations.client.queries.stuck import stuck_instances
from orchestrations.engine.state import TERMINAL, Status
from orchestrations.store import codec
from orchestrations.store.models import Instance

HIGHEST = "\U0010ffff"
"""No text sorts after a prefix and this character, and begins with the prefix."""


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


def admitted(hub: str, where: InstanceFilter) -> QuerySet[Instance]:
    """Return the hub's instances that the filter admits."""
    texts = [hub, where.name_prefix, where.instance_id_prefix, where.custom_status, where.parent]
    if not all(map(codec.is_storable, [*texts, *(text or "" for tag in where.tags for text in tag)])):
        return Instance.objects.none()
    rows = Instance.objects.filter(hub_id=key_of(hub))
    if where.statuses:
        rows = rows.filter(status__in=where.statuses)
    if where.blocked is not None:
        is_stuck = Q(pk__in=stuck_instances()) & ~Q(status__in=TERMINAL)
        rows = rows.filter(is_stuck) if where.blocked else rows.exclude(is_stuck)
    if where.parent:
        rows = rows.filter(parent__instance_id=where.parent)
    return _with_texts(_within_bounds(rows, where), where)


def _within_bounds(rows: QuerySet[Instance], where: InstanceFilter) -> QuerySet[Instance]:
    columns = {"created": "created_at", "updated": "schedule__updated_at", "completed": "completed_at"}
    for name, column in columns.items():
        for bound, operator in (("from", "gte"), ("to", "lte")):
            value = getattr(where, f"{name}_{bound}")
            if value is not None:
                rows = rows.filter(**{f"{column}__{operator}": value})
    return rows


def _with_texts(rows: QuerySet[Instance], where: InstanceFilter) -> QuerySet[Instance]:
    for name, prefix in (("name", where.name_prefix), ("instance_id", where.instance_id_prefix)):
        if prefix:
            rows = rows.filter(_begins(name, prefix))
    for key, value in where.tags:
        member = json.dumps(key, ensure_ascii=False) + ":"
        member += "" if value is None else json.dumps(value, ensure_ascii=False)
        found = [GreaterThan(StrIndex("tags", Value(before + member)), 0) for before in "{,"]
        rows = rows.filter(Q(found[0]) | Q(found[1]))
    if where.custom_status:
        rows = rows.filter(_contains("payload__custom_status", where.custom_status))
    return rows


def _begins(name: str, prefix: str) -> Q:
    """Compare exactly, and with a bound that an index can be searched by: SQLite's LIKE does not tell a from A."""
    exactly = Q(Exact(Left(name, len(prefix)), prefix))
    if connection.vendor == "sqlite":
        return exactly & Q(**{f"{name}__gte": prefix, f"{name}__lt": prefix + HIGHEST})
    return exactly & Q(**{f"{name}__startswith": prefix})


def _contains(name: str, text: str) -> Q:
    """Compare without regard to case in every alphabet: SQLite's own comparison knows the one of ASCII only."""
    if connection.vendor == "sqlite":
        return Q(**{f"{name}__iregex": re.escape(text)})
    return Q(**{f"{name}__icontains": text})
