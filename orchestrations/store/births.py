"""New instances: the rows that they begin with, in one statement where the database can."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrations.engine import encoding
from orchestrations.engine.events import ExecutionStarted, ParentInstance
from orchestrations.engine.state import Status
from orchestrations.store import hubs, sql
from orchestrations.store.inbox import INBOX, MESSAGES
from orchestrations.store.instances import INSTANCE, SCHEDULE
from orchestrations.store.models import Gate, Instance, Schedule
from orchestrations.store.signals import announce_change

_INSTANCES = sql.Columns(
    Instance,
    hub_id="int",
    instance_id="text",
    name="text",
    version="text",
    status="text",
    status_reason="text",
    tags="text",
    priority="int",
    parent_id="int",
    parent_execution="text",
    parent_sequence="int",
    parent_attempt="int",
    depth="int",
    created_at="time",
)
_SCHEDULES = sql.Columns(
    Schedule,
    instance_id="int",
    queue="text",
    capability="text",
    due_at="time",
    gate="int",
    lease_owner="text",
    lease_epoch="int",
    losses="int",
    arrivals="int",
    execution="text",
    position="int",
    history_size="int",
    revision="int",
    updated_at="time",
    waiting="text",
    blocked="text",
    blocked_detail="text",
    owed="text",
)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to create. `parent_pk` and `parent`: whose sub-orchestration it is."""

    hub_id: int
    instance_id: str
    name: str
    queue: str
    created_at: datetime
    execution: str = field(default_factory=lambda: uuid.uuid4().hex)
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    start_at: datetime | None = None
    parent_pk: int | None = None
    parent: ParentInstance | None = None
    depth: int = 0

    def started(self) -> ExecutionStarted:
        """Return the event that begins its first execution."""
        return ExecutionStarted(
            timestamp=self.created_at,
            name=self.name,
            instance_id=self.instance_id,
            execution_id=self.execution,
            version=self.version,
            input=self.input,
            parent=self.parent,
            tags=dict(self.tags) or None,
            scheduled_start_time=self.start_at,
        )

    @property
    def due_at(self) -> datetime:
        """The instant of its first turn."""
        return max(self.start_at or self.created_at, self.created_at)

    @property
    def key(self) -> tuple[int, str]:
        """Hub and instance id."""
        return self.hub_id, self.instance_id


def insert_all(news: Sequence[NewInstance]) -> dict[tuple[int, str], int]:
    """Insert instances and the messages that start them, leaving out ids that are taken. They are inserted in the order
    of their ids: of two who insert some of the same, one waits for the other, and not each for each.

    Returns (hub, instance id) → key of those inserted, of which the pages are told after COMMIT. Their queues are the
    caller's to wake. On PostgreSQL one statement.
    """
    news = sorted(news, key=lambda new: new.key)
    rows = [_row_of(new) for new in news]
    if sql.is_postgres():
        keys = sql.fetch(_INSERT_TOGETHER, [_TOGETHER.as_json(rows)])
    else:
        keys = sql.insert(_INSTANCES, rows, suffix="ON CONFLICT DO NOTHING", returning="hub_id, instance_id, id")
    found = {(hub, name): key for hub, name, key in keys}
    if found and not sql.is_postgres():
        made = [{**row, "instance_id": found[new.key]} for row, new in zip(rows, news, strict=True) if new.key in found]
        sql.insert(_SCHEDULES, made)
        sql.insert(MESSAGES, made)
    names = hubs.names_of(new.hub_id for new in news)
    for new in news:
        if new.key in found:
            announce_change(names[new.hub_id], new.instance_id, 1)
    return found


def capability_of(name: str, version: str | None) -> str:
    """Return what a worker must have to turn an instance: the orchestrator's name, with its version if it has one."""
    return (f"{name}@{version}" if version else name)[:256]


_NEW = {
    "status": Status.PENDING.value,
    "status_reason": "",
    "gate": int(Gate.HELD),
    "lease_owner": "",
    "lease_epoch": 0,
    "losses": 0,
    "arrivals": 0,
    "position": 0,
    "history_size": 0,
    "revision": 1,
    "waiting": "[]",
    "blocked": "",
    "blocked_detail": "",
    "owed": "",
    "is_control": False,
    "sender_sequence": 0,
}
"""What is the same for all new instances."""


def _row_of(new: NewInstance) -> dict[str, object]:
    """Return the columns of all three tables, under the instance's id for a key."""
    parent, event = new.parent, new.started()
    body = encoding.encode(event)
    return {
        **_NEW,
        "hub_id": new.hub_id,
        "instance_id": new.instance_id,
        "name": new.name,
        "version": new.version,
        "tags": _tags(new.tags),
        "priority": new.priority,
        "parent_id": new.parent_pk,
        "parent_execution": parent.execution_id if parent else "",
        "parent_sequence": parent.task_schedule_id if parent else None,
        "parent_attempt": parent.attempt if parent else 1,
        "depth": new.depth,
        "created_at": new.created_at,
        "queue": new.queue,
        "capability": capability_of(new.name, new.version),
        "due_at": new.due_at,
        "execution": new.execution,
        "updated_at": new.created_at,
        "not_before": new.due_at,
        "kind": event.kind,
        "sender": f"start/{new.execution}",
        "body": body,
        "size": len(body),
    }


def _tags(tags: Mapping[str, str]) -> str:
    return json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":")) if tags else "{}"


_TOGETHER = sql.Columns(Instance, **{**_INSTANCES.types, **_SCHEDULES.types, **MESSAGES.types, "instance_id": "text"})


def _insert_together() -> str:
    """Return PostgreSQL's statement that inserts rows of all three tables."""

    def follow(columns: sql.Columns, table: str) -> str:
        rest = columns.names[1:]
        values = ", ".join(f"v.{name}" for name in rest)
        return (
            f"INSERT INTO {table} (instance_id, {', '.join(rest)}) SELECT new.id, {values}"
            " FROM new JOIN v ON v.hub_id = new.hub_id AND v.instance_id = new.instance_id"
        )

    names = ", ".join(_INSTANCES.names)
    return (
        f"WITH v AS MATERIALIZED ({_TOGETHER.recordset}),"
        f" new AS (INSERT INTO {INSTANCE} ({names}) SELECT {names} FROM v"
        f" ON CONFLICT DO NOTHING RETURNING id, hub_id, instance_id), schedules AS ({follow(_SCHEDULES, SCHEDULE)}),"
        f" starts AS ({follow(MESSAGES, INBOX)}) SELECT hub_id, instance_id, id FROM new"
    )


_INSERT_TOGETHER = _insert_together()
