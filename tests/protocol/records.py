"""What is in the tables, for the simulation's eyes: the only module of it that knows columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.apps import apps
from django.db import connection

from orchestrations.engine import encoding
from orchestrations.engine.events import HistoryEvent
from orchestrations.store.models import ActivityTask, InboxMessage, Instance, TaskHub
from orchestrations.store.models import HistoryEvent as HistoryRow

Attempt = tuple[str, int, int]
"""Execution, sequence number, attempt."""

_OVERLOOKED = f"""
    SELECT i.instance_id, i.status, i.blocked, i.due_at, m.kind, m.visible_at
    FROM {Instance._meta.db_table} i JOIN {InboxMessage._meta.db_table} m ON m.instance_id = i.id
    WHERE i.status IN ('Pending', 'Running', 'Suspended') AND (i.due_at IS NULL OR i.due_at > m.visible_at)
        AND i.blocked = '' AND (m.is_control OR i.status <> 'Suspended')"""

_HAS_WORK = f"""
    SELECT EXISTS (SELECT 1 FROM {Instance._meta.db_table} WHERE status IN ('Pending', 'Running', 'Suspended'))
        OR EXISTS (SELECT 1 FROM {ActivityTask._meta.db_table})"""
_HAS_DUE = f"""
    SELECT EXISTS (SELECT 1 FROM {Instance._meta.db_table} WHERE due_at IS NOT NULL OR lease_owner <> '')
        OR EXISTS (SELECT 1 FROM {ActivityTask._meta.db_table})"""
_OPEN = f"SELECT execution, sequence, attempt FROM {ActivityTask._meta.db_table}"


@dataclass
class Record:
    """One instance as it is stored. `waiting` are the events in its inbox, `strays` rows of other executions."""

    hub: str
    instance_id: str
    status: str
    execution: str
    output: str | None
    failure_message: str | None
    owner: str
    due_at: datetime | None
    blocked: str
    parent: str | None
    history: list[HistoryEvent] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    waiting: list[HistoryEvent] = field(default_factory=list)
    strays: int = 0
    activities: int = 0


def clear() -> None:
    """Empty all tables but the hubs', whose keys this process remembers; keys begin at 1 again."""
    with connection.cursor() as cursor:
        for model in reversed(list(apps.get_app_config("orchestrations").get_models())):
            if model is not TaskHub:
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
        if connection.vendor == "sqlite":
            cursor.execute("DELETE FROM sqlite_sequence WHERE name <> %s", [TaskHub._meta.db_table])


def open_attempts() -> set[Attempt]:
    """Return the attempts that wait or run."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return set(cursor.fetchall())


def overlooked() -> str:
    """Return which instance has a message that counts, yet is not due for it; an empty text if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERLOOKED)
        row = cursor.fetchone()
    return str(row) if row else ""


def has_work() -> bool:
    """Tell whether an instance lives or an activity is open."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_WORK)
        return bool(cursor.fetchone()[0])


def has_due() -> bool:
    """Tell whether an instance is due, now or later, or an activity is open."""
    with connection.cursor() as cursor:
        cursor.execute(_HAS_DUE)
        return bool(cursor.fetchone()[0])


def statuses() -> dict[str, str]:
    """Return hub/id → status of all instances."""
    return {f"{hub}/{name}": s for hub, name, s in Instance.objects.values_list("hub__name", "instance_id", "status")}


def read_all() -> Iterator[Record]:
    """Yield every instance with all that belongs to it."""
    for row in Instance.objects.select_related("hub", "parent").order_by("pk"):
        failure = json.loads(row.failure) if row.failure else None
        record = Record(
            hub=row.hub.name,
            instance_id=row.instance_id,
            status=row.status,
            execution=row.execution,
            output=row.output,
            failure_message=failure["ErrorMessage"] if failure else None,
            owner=row.lease_owner,
            due_at=row.due_at,
            blocked=row.blocked,
            parent=row.parent.instance_id if row.parent else None,
        )
        for execution, number, body in HistoryRow.objects.filter(instance=row.pk).values_list(
            "execution", "sequence", "body"
        ):
            if execution != row.execution:
                record.strays += 1
            else:
                record.numbers.append(number)
                record.history.append(encoding.decode(body))
        record.waiting = [
            encoding.decode(body)
            for body in InboxMessage.objects.filter(instance=row.pk).order_by("id").values_list("body", flat=True)
        ]
        record.activities = ActivityTask.objects.filter(instance=row.pk).count()
        yield record


def orphans() -> list[str]:
    """Return which rows belong to no instance (I16)."""
    known = Instance.objects.values("pk")
    models = (HistoryRow, InboxMessage, ActivityTask)
    return [m._meta.db_table for m in models if m.objects.exclude(instance__in=known).exists()]
