"""The one way in: whatever can happen to an instance is a message in its inbox, and lowers its `due_at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from orchestrations.engine import encoding
from orchestrations.engine.events import (
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from orchestrations.engine.state import Status
from orchestrations.store import sql
from orchestrations.store.models import InboxMessage, Instance
from orchestrations.store.signals import announce_work

CONTROL = (ExecutionTerminated, ExecutionSuspended, ExecutionResumed)

_MESSAGES = sql.Columns(
    InboxMessage,
    instance_id="int",
    execution="text",
    visible_at="time",
    kind="text",
    is_control="bool",
    body="text",
    dedup_key="text",
)
_DUE = sql.Columns(Instance, id="int", due_at="time", is_control="bool")

# Only management counts in a suspended or parked instance; a parked one keeps its next try in `due_at`.
LOWER_DUE = """due_at = CASE
    WHEN (t.status = 'Suspended' OR t.blocked <> '') AND NOT v.is_control THEN t.due_at
    WHEN t.due_at IS NULL OR t.due_at > v.due_at THEN v.due_at ELSE t.due_at END"""


@dataclass(frozen=True, slots=True)
class Message:
    """Something on its way. `execution`: it counts for that execution alone; empty for any."""

    instance: int
    event: HistoryEvent
    visible_at: datetime
    dedup_key: str
    execution: str = ""

    @property
    def is_control(self) -> bool:
        """True for what counts although the instance is suspended or parked."""
        return isinstance(self.event, CONTROL)


@dataclass(frozen=True, slots=True)
class Target:
    """A locked instance row that a message may go to."""

    id: int
    status: str
    queue: str
    lease_owner: str
    lease_epoch: int
    execution: str
    due_at: datetime | None

    def takes(self, execution: str) -> bool:
        """Tell whether a message for that execution counts: what has ended takes nothing any more (INS-3)."""
        return not Status(self.status).is_terminal and execution in ("", self.execution)


def deliver(instance: int, event: HistoryEvent, *, visible_at: datetime, dedup_key: str, execution: str = "") -> None:
    """Store a message for the instance and lower its `due_at`; once for each `dedup_key`. An ended one takes nothing.

    Durable when the caller's transaction commits, which must be open; its queue is woken after that. The orchestrator
    has not seen the message yet. Takes the instance row's lock, by a statement before the message's.
    """
    assert connection.in_atomic_block, "deliver() must be called in a transaction"
    targets = lock([instance])
    if instance not in targets or not targets[instance].takes(execution):
        return
    message = Message(instance, event, visible_at, dedup_key, execution)
    insert_messages([message])
    lower_due([message])
    wake_for([message], targets)


def lock(instances: Sequence[int]) -> dict[int, Target]:
    """Lock the rows in id order, and return those that exist. What is read later in the transaction is current."""
    condition, values = sql.among("id", sorted(set(instances)))
    rows = sql.fetch(
        f"SELECT id, status, queue, lease_owner, lease_epoch, execution, due_at FROM {_DUE.table}"
        f" WHERE {condition} ORDER BY id" + sql.locking("FOR NO KEY UPDATE"),
        values,
    )
    return {row[0]: Target(*row[:6], *map(sql.read_time, row[6:])) for row in rows}


def insert_messages(messages: Sequence[Message]) -> None:
    """Insert the messages, each `dedup_key` once. The instances' `due_at` is the caller's."""
    rows = [
        (m.instance, m.execution, m.visible_at, m.event.kind, m.is_control, encoding.encode(m.event), m.dedup_key)
        for m in messages
    ]
    sql.insert(_MESSAGES, rows, suffix="ON CONFLICT DO NOTHING")


def lower_due(messages: Sequence[Message]) -> None:
    """Lower the `due_at` of the instances, whose rows are locked, to the earliest of their messages."""
    earliest: dict[tuple[int, bool], datetime] = {}
    for m in messages:
        key = (m.instance, m.is_control)
        earliest[key] = min(m.visible_at, earliest.get(key, m.visible_at))
    rows: dict[int, tuple[int, datetime, bool]] = {}
    for (instance, is_control), at in sorted(earliest.items()):  # a control message of an instance wins
        rows[instance] = (instance, min(at, rows[instance][1]) if instance in rows else at, is_control)
    sql.update(_DUE, LOWER_DUE, list(rows.values()))


def wake_for(messages: Sequence[Message], targets: dict[int, Target]) -> None:
    """Wake, after COMMIT, the queues of instances that these messages leave due and nobody's."""
    earliest: dict[str, datetime] = {}
    items: dict[str, int] = {}
    for m in messages:
        target = targets.get(m.instance)
        if target is None or target.lease_owner:
            continue
        earliest[target.queue] = min(m.visible_at, earliest.get(target.queue, m.visible_at))
        items[target.queue] = items.get(target.queue, 0) + 1
    for queue, at in earliest.items():
        announce_work(queue, at, items=items[queue])


def has_control(instance: int) -> bool:
    """Tell whether a management message waits, so that the status will change."""
    return InboxMessage.objects.filter(instance_id=instance, is_control=True).exists()


def is_full(instance: int, limit: int) -> bool:
    """Tell whether so many messages wait for the instance."""
    return InboxMessage.objects.filter(instance_id=instance).order_by()[:limit].count() >= limit
