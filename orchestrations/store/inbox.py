"""The one way in: whatever can happen to an instance is a message in its inbox, and lowers its `due_at`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from orchestrations.engine import encoding
from orchestrations.engine.events import (
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from orchestrations.store import codec, conditions, hubs, sql
from orchestrations.store.models import Gate, InboxMessage, Instance, Schedule
from orchestrations.store.signals import announce_work

INBOX, SCHEDULE = InboxMessage._meta.db_table, Schedule._meta.db_table
CONTROL = (ExecutionTerminated, ExecutionSuspended, ExecutionResumed)
URGENT = (ExecutionStarted, *CONTROL)
"""What must not wait behind other messages: it counts from its instant on, and is looked for by that."""

MESSAGES = sql.Columns(
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
_CARRIED = sql.Columns(InboxMessage, id="int", **MESSAGES.types)
_COLUMNS = "s.instance_id, s.gate, s.queue, s.lease_owner, s.lease_epoch, s.execution, s.due_at"
_DUE = sql.Columns(Schedule, instance_id="int", due_at="time", is_control="bool")

# By the count who leases the instance sees that its inbox is not as it was. Only management counts behind a gate that
# is held: a parked instance keeps its next try in `due_at`, one that has not begun its start.
ARRIVE = f"""arrivals = t.arrivals + 1, due_at = CASE
    WHEN t.gate = {Gate.HELD} AND NOT v.is_control THEN t.due_at
    WHEN t.due_at IS NULL OR t.due_at > v.due_at THEN v.due_at ELSE t.due_at END"""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Something to send. `sender` and `sender_sequence` tell it from the sender's others.

    `execution`: it counts for that execution alone; empty for any. `not_before`: it counts from then on. `id`: the
    place in the inbox that an event had before the execution that did not take it.
    """

    instance: int
    event: HistoryEvent
    sender: str
    sender_sequence: int = 0
    execution: str = ""
    not_before: datetime | None = None
    id: int | None = None

    @property
    def is_control(self) -> bool:
        """True for what counts although the instance is suspended or parked."""
        return isinstance(self.event, CONTROL)


@dataclass(frozen=True, slots=True)
class Target:
    """A locked `Schedule` row of an instance that a message may go to."""

    id: int
    gate: Gate
    queue: str
    lease_owner: str
    lease_epoch: int
    execution: str
    due_at: datetime | None

    @property
    def is_live(self) -> bool:
        """True unless the instance has ended."""
        return self.gate != Gate.CLOSED

    def takes(self, execution: str) -> bool:
        """Tell whether a message for that execution counts: what has ended takes nothing any more (INS-3)."""
        return self.is_live and execution in ("", self.execution)


def deliver(messages: Sequence[NewMessage], now: datetime) -> int:
    """Store the messages for their instances and lower their `due_at`, once for each sender and sequence number.

    An instance that has ended, or goes on under another execution, takes nothing; returns how many were taken. Durable
    when the caller's transaction commits, which must be open; the queues are woken after that. Takes the instances'
    locks, in order, by a statement before the messages'.
    """
    assert connection.in_atomic_block, "deliver() must be called in a transaction"
    targets = lock([m.instance for m in messages])
    taken = [m for m in messages if m.instance in targets and targets[m.instance].takes(m.execution)]
    send(taken, targets, now)
    return len(taken)


def send(messages: Sequence[NewMessage], targets: dict[int, Target], now: datetime) -> None:
    """Store the messages for instances that are locked, note their arrival, and wake the queues after COMMIT.

    All targets are woken for: a claim may have skipped them while they were locked.
    """
    if messages:
        insert_messages(messages)
        note_arrivals(messages, now)
    wake_for(messages, targets.values(), now)


def lock(instances: Iterable[int]) -> dict[int, Target]:
    """Lock the instances in id order, and return those that exist. What is read later in the transaction is current."""
    condition, values = conditions.among("instance_id", sorted(set(instances)))
    rows = sql.fetch(
        f"SELECT {_COLUMNS} FROM {SCHEDULE} s WHERE {condition} ORDER BY s.instance_id"
        + conditions.locking("FOR NO KEY UPDATE"),
        values,
    )
    return {row[0]: _target(row) for row in rows}


def lock_named(hub: str, instance_id: str) -> Target | None:
    """Lock the instance of that id, if there is one. What is read later in the transaction is current."""
    return lock_all_named(hub, [instance_id]).get(instance_id)


def lock_all_named(hub: str, instance_ids: Iterable[str]) -> dict[str, Target]:
    """Lock the instances of those ids in the order of their keys, and return those that exist, by id."""
    key, wanted = hubs.find_key(hub), sorted({one for one in instance_ids if codec.is_storable(one)})
    if key is None or not wanted:
        return {}
    chosen, values = conditions.among("i.instance_id", wanted)
    named = (
        f"FROM {Instance._meta.db_table} i JOIN {SCHEDULE} s ON s.instance_id = i.id WHERE i.hub_id = %s AND {chosen}"
    )
    rows = sql.fetch(
        f"SELECT i.instance_id, {_COLUMNS} {named}"
        + conditions.locking("ORDER BY s.instance_id FOR NO KEY UPDATE OF s"),
        [key, *values],
    )
    found = {name: _target(row) for name, *row in rows}
    if len(found) < len(wanted) and sql.is_postgres():  # another may have taken the place of one that was waited for
        again = {pk: name for name, pk in sql.fetch(f"SELECT i.instance_id, i.id {named}", [key, *values])}
        found = {again[pk]: target for pk, target in lock(again).items()} if again else {}
    return found


def _target(row: Sequence[Any]) -> Target:
    key, gate, queue, owner, epoch, execution, due_at = row
    return Target(key, Gate(gate), queue, owner, epoch, execution, sql.read_time(due_at))


def insert_messages(messages: Sequence[NewMessage]) -> None:
    """Insert the messages in this order. What it changes in the instances' rows is the caller's."""
    new = [m for m in messages if m.id is None]
    carried = [m for m in messages if m.id is not None]
    if new:
        sql.insert(MESSAGES, [row_of(m) for m in new], suffix="ON CONFLICT DO NOTHING")
    if carried:
        sql.insert(_CARRIED, [{"id": m.id, **row_of(m)} for m in carried], suffix="ON CONFLICT DO NOTHING")


def row_of(message: NewMessage) -> sql.Row:
    """Return a message as a row."""
    event, body = message.event, encoding.encode(message.event)
    not_before = message.not_before
    if not_before is None and isinstance(event, URGENT):
        not_before = event.timestamp
    return {
        "instance_id": message.instance,
        "execution": message.execution,
        "not_before": not_before,
        "kind": event.kind,
        "is_control": message.is_control,
        "sender": message.sender,
        "sender_sequence": message.sender_sequence,
        "body": body,
        "size": len(body),
    }


def note_arrivals(messages: Sequence[NewMessage], now: datetime) -> None:
    """Note in the instances' rows, which are locked, that others have sent these messages: count that in `arrivals`,
    and lower `due_at` to the earliest of them."""
    earliest: dict[tuple[int, bool], datetime] = {}
    for m in messages:
        key, at = (m.instance, m.is_control), m.not_before or now
        earliest[key] = min(at, earliest.get(key, at))
    rows: dict[int, sql.Row] = {}
    for (instance, is_control), at in sorted(earliest.items()):  # a control message of an instance wins
        if instance in rows:
            at = min(at, rows[instance]["due_at"])
        rows[instance] = {"instance_id": instance, "due_at": at, "is_control": is_control}
    sql.update(_DUE, ARRIVE, list(rows.values()))


def wake_for(messages: Sequence[NewMessage], targets: Iterable[Target], now: datetime) -> None:
    """Wake, after COMMIT, the queues of locked instances that are due and nobody's, these messages included."""
    moments: dict[int, datetime] = {}
    for m in messages:
        at = m.not_before or now
        moments[m.instance] = min(at, moments.get(m.instance, at))
    earliest: dict[str, list[datetime]] = {}
    for target in targets:
        moment = moments.get(target.id, target.due_at)
        if moment is not None and not target.lease_owner:
            earliest.setdefault(target.queue, []).append(moment)
    for queue, found in earliest.items():
        announce_work(queue, min(found), items=len(found))


def has_control(instance: int) -> bool:
    """Tell whether a management message waits, so that the status will change."""
    return InboxMessage.objects.filter(instance_id=instance, not_before__isnull=False, is_control=True).exists()


def count_waiting(instances: Sequence[int], most: int) -> dict[int, int]:
    """Return how many messages wait for each instance, up to so many; timers and management do not count."""
    keys, values = conditions.keys("instance", instances)
    waiting = f"SELECT 1 FROM {INBOX} m WHERE m.instance_id = k.instance AND m.not_before IS NULL LIMIT %s"
    statement = f"SELECT k.instance, (SELECT count(*) FROM ({waiting}) AS w) FROM ({keys}) k"
    return {key: count for key, count in sql.fetch(statement, [most, *values]) if key is not None}
