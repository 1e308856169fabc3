"""Create instances, look them up within a hub, and remove them. What a new one means to an older one is in `reuse`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrations.engine import encoding
from orchestrations.engine.events import ExecutionStarted, ParentInstance
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError, WrongStatusError
from orchestrations.store import hubs, inbox, sql
from orchestrations.store.inbox import INBOX, Target
from orchestrations.store.models import (
    ActivityTask,
    EventReceipt,
    Gate,
    HistoryEvent,
    InboxMessage,
    Instance,
    Payload,
    Schedule,
)
from orchestrations.store.signals import announce_change

INSTANCE, SCHEDULE = Instance._meta.db_table, Schedule._meta.db_table

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
    execution="text",
    position="int",
    history_bytes="int",
    revision="int",
    updated_at="time",
    waiting="text",
    blocked="text",
    blocked_detail="text",
)
_STARTS = sql.Columns(
    InboxMessage,
    instance_id="int",
    execution="text",
    not_before="time",
    kind="text",
    is_control="bool",
    sender="text",
    sender_sequence="int",
    body="text",
    size="int",
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
    """Insert instances and the messages that start them, leaving out ids that are taken.

    Returns (hub, instance id) → key of those inserted, of which the pages are told after COMMIT. Their queues are the
    caller's to wake. On PostgreSQL one statement.
    """
    rows = [_row_of(new) for new in news]
    if sql.is_postgres():
        keys = sql.fetch(_INSERT_TOGETHER, [_TOGETHER.as_json(rows)])
    else:
        keys = sql.insert(_INSTANCES, rows, suffix="ON CONFLICT DO NOTHING", returning="hub_id, instance_id, id")
    found = {(hub, name): key for hub, name, key in keys}
    if found and not sql.is_postgres():
        made = [{**row, "instance_id": found[new.key]} for row, new in zip(rows, news, strict=True) if new.key in found]
        sql.insert(_SCHEDULES, made)
        sql.insert(_STARTS, made)
    for new in news:
        if new.key in found:
            announce_change(hubs.name_of(new.hub_id), new.instance_id, 1)
    return found


def remove(instances: Sequence[int]) -> None:
    """Delete instances with all that belongs to them; they are locked, or have ended and are locked as rows.

    Their sub-orchestrations become those of their own parent, so that who ends the family finds them.
    """
    condition, values = sql.among("parent_id", instances)
    above = f"(SELECT p.parent_id FROM {INSTANCE} p WHERE p.id = {INSTANCE}.parent_id)"
    sql.run(f"UPDATE {INSTANCE} SET parent_id = {above} WHERE {condition}", values)
    condition, values = sql.among("instance_id", instances)
    for model in (HistoryEvent, InboxMessage, EventReceipt, ActivityTask, Payload, Schedule):
        sql.run(f"DELETE FROM {model._meta.db_table} WHERE {condition}", values)
    condition, values = sql.among("id", instances)
    sql.run(f"DELETE FROM {INSTANCE} WHERE {condition}", values)


@dataclass(frozen=True, slots=True)
class Known:
    """An instance as it is found by its id, before it is locked."""

    key: int
    status: Status
    parent: int | None
    parent_execution: str
    parent_sequence: int | None
    parent_attempt: int


def find_all(ids: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Known]:
    """Return (hub, instance id) → what is known of it, of those that exist. One statement."""
    condition, values = sql.among_rows("hub_id, instance_id", sorted(set(ids)), ("int", "text"))
    rows = sql.fetch(
        "SELECT hub_id, instance_id, id, status, parent_id, parent_execution, parent_sequence, parent_attempt"
        f" FROM {INSTANCE} WHERE {condition}",
        values,
    )
    return {(hub, name): Known(key, Status(status), *rest) for hub, name, key, status, *rest in rows}


def lock_live(hub: str, instance_id: str, refused: str) -> Target:
    """Lock a live instance and return its target.

    Raises `InstanceNotFoundError`, or `WrongStatusError` (`instance.terminal`) saying that it takes no `refused`.
    """
    target = inbox.lock_named(hub, instance_id)
    if target is None:
        raise InstanceNotFoundError(instance_id)
    if not target.is_live:
        status, completed_at = Instance.objects.filter(pk=target.id).values_list("status", "completed_at").get()
        since = f"{completed_at:%Y-%m-%d %H:%M:%S} UTC" if completed_at else "an unknown time"
        raise WrongStatusError.terminal(instance_id, status, since, refused)
    return target


def status_of(instance: int) -> Status:
    """Return an instance's status: current if its lock is ours."""
    return Status(Instance.objects.filter(pk=instance).values_list("status", flat=True).get())


def accept_event(instance: int, event_id: str, name: str, now: datetime, expires_at: datetime) -> bool:
    """Note that an external event with this id was accepted; False if it was before (EVT-5)."""
    columns = sql.Columns(
        EventReceipt, instance_id="int", event_id="text", event_name="text", accepted_at="time", expires_at="time"
    )
    row = {
        "instance_id": instance,
        "event_id": event_id,
        "event_name": name,
        "accepted_at": now,
        "expires_at": expires_at,
    }
    return bool(sql.insert(columns, [row], suffix="ON CONFLICT DO NOTHING", returning="id"))


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
    "position": 0,
    "history_bytes": 0,
    "revision": 1,
    "waiting": "[]",
    "blocked": "",
    "blocked_detail": "",
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


_TOGETHER = sql.Columns(Instance, **{**_INSTANCES.types, **_SCHEDULES.types, **_STARTS.types, "instance_id": "text"})


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
        f" starts AS ({follow(_STARTS, INBOX)}) SELECT hub_id, instance_id, id FROM new"
    )


_INSERT_TOGETHER = _insert_together()
