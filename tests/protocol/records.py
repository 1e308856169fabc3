"""What is in the tables, for the simulation's eyes: the only module of it that knows columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection

from orchestrations.engine import encoding
from orchestrations.engine.events import HistoryEvent
from orchestrations.store import sql
from orchestrations.store.models import (
    ActivityTask,
    Gate,
    HistoryPart,
    InboxMessage,
    Instance,
    Payload,
    Schedule,
    TaskHub,
)

Attempt = tuple[str, int, int]
"""Execution, sequence number, attempt."""

_INSTANCE, _SCHEDULE = Instance._meta.db_table, Schedule._meta.db_table
_INBOX, _ACTIVITY = InboxMessage._meta.db_table, ActivityTask._meta.db_table
_HISTORY = HistoryPart._meta.db_table

_OVERLOOKED = f"""
    SELECT i.instance_id, i.status, s.blocked, s.due_at, m.kind, m.not_before
    FROM {_SCHEDULE} s JOIN {_INBOX} m ON m.instance_id = s.instance_id JOIN {_INSTANCE} i ON i.id = s.instance_id
    WHERE (s.gate = {Gate.OPEN} OR (s.gate = {Gate.HELD} AND m.is_control))
        AND (s.due_at IS NULL OR s.due_at > max(coalesce(m.not_before, %s), %s))"""
_HAS_WORK = f"""
    SELECT EXISTS (SELECT 1 FROM {_INSTANCE} WHERE status IN ('Pending', 'Running', 'Suspended'))
        OR EXISTS (SELECT 1 FROM {_ACTIVITY})"""
_HAS_DUE = f"""
    SELECT EXISTS (SELECT 1 FROM {_SCHEDULE} WHERE due_at IS NOT NULL OR lease_owner <> '')
        OR EXISTS (SELECT 1 FROM {_ACTIVITY})"""
_PLACES = f"SELECT instance_id, lease_owner, execution, position FROM {_SCHEDULE}"
_SETTLED_BUT_OPEN = f"""
    SELECT a.name, a.execution, a.sequence, a.attempt FROM {_ACTIVITY} a JOIN {_INBOX} m
        ON m.instance_id = a.instance_id AND m.sender = 'task/' || a.execution || '/' || a.attempt
        AND m.sender_sequence = a.sequence"""
_OPEN = f"""
    SELECT execution, sequence, attempt FROM {_ACTIVITY}
    UNION SELECT s.execution, e.value ->> 'EventId', coalesce(e.value ->> 'Attempt', 1)
    FROM {_SCHEDULE} s JOIN json_each(CASE s.owed WHEN '' THEN '[]' ELSE s.owed END) o
    JOIN {_HISTORY} p ON p.instance_id = s.instance_id AND p.execution = s.execution AND p.sequence = o.value ->> 1
    JOIN json_each('[' || p.body || ']') e ON e.key = o.value ->> 2"""


_RECORDS = f"""
    SELECT i.id, p.failure, s.due_at, h.name, i.instance_id, i.status, s.execution, p.output, s.lease_owner, s.blocked,
        above.instance_id
    FROM {_INSTANCE} i JOIN {TaskHub._meta.db_table} h ON h.id = i.hub_id JOIN {_SCHEDULE} s ON s.instance_id = i.id
    LEFT JOIN {Payload._meta.db_table} p ON p.instance_id = i.id LEFT JOIN {_INSTANCE} above ON above.id = i.parent_id
    ORDER BY i.id"""
_PARTS = f"SELECT instance_id, execution, sequence, count, body FROM {_HISTORY} ORDER BY instance_id, sequence"
_WAITING = f"SELECT instance_id, body FROM {_INBOX} ORDER BY id"
_COUNTS = f"SELECT instance_id, count(*) FROM {_ACTIVITY} GROUP BY instance_id"


@dataclass
class Record:
    """One instance as it is stored. `waiting` are the events in its inbox, `strays` rows of other executions."""

    hub: str
    instance_id: str
    status: str
    execution: str
    output: str | None
    owner: str
    blocked: str
    parent: str | None
    due_at: datetime | None = None
    failure_message: str | None = None
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
    """Return the attempts that wait or run, as rows or owed by a lease."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return set(cursor.fetchall())


def overlooked(now: datetime) -> str:
    """Return which instance has a message that counts, yet is not due for it; an empty text if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERLOOKED, [sql.write_time(now)] * 2)
        row = cursor.fetchone()
    return str(row) if row else ""


def places() -> dict[int, tuple[str, str, int]]:
    """Return instance → who leases it, its execution and the position of its history."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACES)
        return {key: (owner, execution, position) for key, owner, execution, position in cursor.fetchall()}


def settled_but_open() -> str:
    """Return an attempt whose outcome is on its way although it waits or runs; an empty text if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTLED_BUT_OPEN)
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
    """Yield every instance with all that belongs to it. A statement for each table: this is done for every seed."""
    parts, waiting = _by_instance(_PARTS), _by_instance(_WAITING)
    activities = dict(sql.fetch(_COUNTS, []))
    for key, failure, due_at, *values in sql.fetch(_RECORDS, []):
        record = Record(*values)
        record.failure_message = json.loads(failure)["ErrorMessage"] if failure else None
        record.due_at = sql.read_time(due_at)
        for execution, first, count, body in parts.get(key, ()):
            if execution == record.execution:
                record.numbers += range(first, first + count)
                record.history += encoding.decode_all(body)
            else:
                record.strays += 1
        record.waiting = [encoding.decode(body) for (body,) in waiting.get(key, ())]
        record.activities = activities.get(key, 0)
        yield record


def orphans() -> list[str]:
    """Return which rows belong to no instance (I16)."""
    models = (HistoryPart, InboxMessage, ActivityTask, Schedule, Payload)
    tables = [model._meta.db_table for model in models]
    looks = [f"EXISTS (SELECT 1 FROM {t} WHERE instance_id NOT IN (SELECT id FROM {_INSTANCE}))" for t in tables]
    (found,) = sql.fetch(f"SELECT {', '.join(looks)}", [])
    return [table for table, is_there in zip(tables, found, strict=True) if is_there]


def _by_instance(statement: str) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for instance, *values in sql.fetch(statement, []):
        found.setdefault(instance, []).append(tuple(values))
    return found
