"""Leases: renew, release, hand back, park; always by owner, and by epoch where one instance is meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrations.store import clock, conditions, inbox, looks, owed, processes, sql
from orchestrations.store.activities import ACTIVITY
from orchestrations.store.advance import gate_of
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.looks import Question, Waiting
from orchestrations.store.models import Gate, Schedule
from orchestrations.store.signals import announce_change, announce_work

HELD = "lease_until IS NOT NULL AND lease_owner = %s"
"""What somebody holds, in the words of the index on it."""

_KEYS = {SCHEDULE: "instance_id", ACTIVITY: "id"}
_LOCKS = {SCHEDULE: "FOR NO KEY UPDATE", ACTIVITY: "FOR UPDATE"}
_DUE = sql.Columns(Schedule, instance_id="int", due_at="time", gate="int")

BLOCKED_ROWS = 5000
"""How many attempts that were put aside are looked at in a round."""

FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 10.0, 600.0


def release(held: Sequence[ClaimedInstance], now: datetime, in_hand: Collection[int] = ()) -> int:
    """Give back leases of instances that have nothing to take now. Returns how many were still ours.

    What they owe becomes rows: those of `in_hand`, which the caller runs or has run, stay his, the others are free.

    `due_at` is asked of the inbox anew, under the lock: else one that says "now" where nothing waits would be claimed
    again at once, for ever.
    """
    if not held:
        return 0
    by_key = {one.row.instance_id: one for one in held}
    with transaction.atomic(durable=True):
        targets = inbox.lock(by_key)
        ours = [
            one
            for key, one in by_key.items()
            if key in targets and _is(one, targets[key].lease_owner, targets[key].lease_epoch)
        ]
        if ours:
            _part_with(ours, in_hand, now)
            _free(ours, now)
        own = {one.row.instance_id for one in ours}
        inbox.wake_for([], [target for key, target in targets.items() if key not in own], now)
    return len(ours)


def _part_with(ours: Sequence[ClaimedInstance], in_hand: Collection[int], now: datetime) -> None:
    """Make rows of what these leases, which are locked, owe."""
    debts = owed.hand_over([one.row.instance_id for one in ours if one.row.owed], now)
    _announce(_let_go(ACTIVITY, [key for debt in debts.values() for key in debt if key not in in_hand]))


def _free(ours: Sequence[ClaimedInstance], now: datetime) -> None:
    found = looks.look([Question(one.row.instance_id, one.facts.status) for one in ours], now)
    rows, moments = [], []
    for one in ours:
        waiting, status = found.get(one.row.instance_id, Waiting()), one.facts.status
        due_at = waiting.due_at(status, now)
        gate = gate_of(status, is_held_up=bool(one.row.blocked) and waiting.has_news(status))
        rows.append({"instance_id": one.row.instance_id, "due_at": due_at, "gate": int(gate)})
        if due_at is not None:
            moments.append((one.row.queue, due_at))
    sql.update(_DUE, "due_at = v.due_at, gate = v.gate, lease_owner = '', lease_until = NULL", rows)
    _announce(moments)


def _is(held: ClaimedInstance, owner: str, epoch: int) -> bool:
    return (held.row.lease_owner, held.row.lease_epoch) == (owner, epoch)


def hand_back(owner: str, keep: Callable[[], Collection[int]] = tuple) -> int:
    """Free all that a worker holds, but the activities that `keep` names; its commits will find the leases gone.

    For a worker that was stopped, or has lost its way: nothing counts as lost. `keep` is asked once rows are locked,
    so what the worker leases after that is not among them. Durable when it returns; the queues are woken.
    """
    with transaction.atomic():
        instances = _lock_held(SCHEDULE, owner)
        owed.hand_over(instances, clock.now())
        attempts, kept = _lock_held(ACTIVITY, owner), set(keep())
        rows = _let_go(SCHEDULE, instances) + _let_go(ACTIVITY, [key for key in attempts if key not in kept])
        _announce(rows)
    return len(rows)


def take_back(owner: str, running: Callable[[], Collection[int]]) -> int:
    """Free, as `hand_back` does, what a worker holds that lives and goes on with what it is `running`.

    What may run at most once and has begun stays its own, too: the worker records that before it says that it runs.
    """
    return hand_back(owner, lambda: {*running(), *_begun_once(owner)})


def _begun_once(owner: str) -> set[int]:
    return {key for (key,) in sql.fetch(f"SELECT id FROM {ACTIVITY} WHERE {HELD} AND begun_at IS NOT NULL", [owner])}


def hand_over(owner: str) -> None:
    """Make rows of all that a dead worker's leases owe: what it ran can be found then. Durable when it returns."""
    with transaction.atomic():
        _take_debts(owner, clock.now())


def _take_debts(owner: str, now: datetime) -> list[int]:
    """Make rows of what a dead worker's leases owe, and fence what he may have sent before. Return what he holds."""
    held = _lock_held(SCHEDULE, owner)
    if owing := owed.hand_over(held, now):
        condition, values = conditions.among("instance_id", list(owing))
        sql.run(f"UPDATE {SCHEDULE} SET lease_epoch = lease_epoch + 1 WHERE {condition}", values)
    return held


@dataclass(frozen=True, slots=True)
class Lost:
    """Keys of what counts as lost with a worker."""

    instances: list[int]
    activities: list[int]


def lose(owner: str, instances: Collection[int] | None, activities: Collection[int] | None, now: datetime) -> Lost:
    """Take away all that a dead worker held: these count as lost (None: all of them), the rest is free.

    What counts as lost is claimed one by one. Durable when it returns; the queues are woken.
    """
    found: list[list[int]] = []
    with transaction.atomic():
        rows = []
        for table, blamed in ((SCHEDULE, instances), (ACTIVITY, activities)):
            held = _take_debts(owner, now) if table == SCHEDULE else _lock_held(table, owner)
            guilty = [key for key in held if blamed is None or key in blamed]
            rows += _let_go(table, [key for key in held if key not in set(guilty)])
            if guilty:
                condition, values = conditions.among(_KEYS[table], guilty)
                statement = f"UPDATE {table} SET lease_until = %s WHERE {condition} RETURNING queue, due_at"
                rows += sql.fetch(statement, [now, *values])
            found.append(guilty)
        _announce(rows)
    return Lost(*found)


def renew(owners: Sequence[str], running: Sequence[tuple[int, str]], now: datetime, seconds: float) -> None:
    """Lengthen leases that have not run out: all of these owners, and those of activities that run, each with the
    worker that runs it: a lease that has gone to somebody else meanwhile is not that worker's to lengthen.

    Rows that are locked are skipped: who locked them leaves them two thirds of a lease at least, or gives them back.
    """
    until = now + timedelta(seconds=seconds)
    wanted: list[tuple[str, tuple[str, list[Any]]]] = []
    if owners:
        wanted += [(table, conditions.among("lease_owner", owners)) for table in (SCHEDULE, ACTIVITY)]
    if running:
        wanted.append((ACTIVITY, conditions.among_rows("id, lease_owner", running, ("int", "text"))))
    for table, (condition, parameters) in wanted:
        key, lock = _KEYS[table], conditions.locking(f"{_LOCKS[table]} SKIP LOCKED")
        alive = f"SELECT {key} FROM {table} WHERE {condition} AND lease_until > %s{lock}"
        statement = f"UPDATE {table} SET lease_until = %s WHERE {conditions.chosen(key, alive)}"
        sql.run(statement, [until, *parameters, now])


@dataclass(frozen=True, slots=True)
class Mark:
    """Why an instance cannot move, and under which code. `obeys_management`: what waits of it can be done at once."""

    reason: str
    message: str
    fingerprint: str
    obeys_management: bool = True


def park(held: ClaimedInstance, mark: Mark, now: datetime, in_hand: Collection[int] = ()) -> None:
    """Mark an instance as blocked and give its lease back; it is tried again after 10 s, doubling to 10 min (NDT-6).

    Its status, history and inbox stay as they are. Management that waits makes it due at once: it needs no code. While
    workers run other code than this one's, the pause does not grow. What it owes becomes rows, as by `release`. Durable
    when it returns; nothing if the lease was lost.
    """
    row = held.row
    past = json.loads(row.blocked_detail) if row.blocked == mark.reason and row.blocked_detail else {}
    tries = past.get("tries", 0) + 1
    since = past.get("since", now.isoformat())
    detail = {"message": mark.message, "since": since, "tries": tries, "fingerprint": mark.fingerprint}
    doublings = 0 if processes.runs_other_code(mark.fingerprint, now) else min(tries - 1, 10)
    with transaction.atomic(durable=True):
        target = inbox.lock([row.instance_id]).get(row.instance_id)
        if target is None or not _is(held, target.lease_owner, target.lease_epoch):
            return
        _part_with([held], in_hand, now)
        due_at = now + timedelta(seconds=min(FIRST_TRY_SECONDS * 2**doublings, LAST_TRY_SECONDS))
        due_at = now if mark.obeys_management and inbox.has_control(row.instance_id) else due_at
        rows = sql.fetch(
            f"UPDATE {SCHEDULE} SET blocked = %s, blocked_detail = %s, gate = %s, due_at = %s, updated_at = %s,"
            " lease_owner = '', lease_until = NULL, losses = 0, revision = revision + 1"
            " WHERE instance_id = %s RETURNING revision",
            [mark.reason, json.dumps(detail), int(Gate.HELD), due_at, now, row.instance_id],
        )
        announce_change(held.hub, held.facts.instance_id, rows[0][0])
        announce_work(row.queue, due_at)


def unblock_served(now: datetime) -> int:
    """Make due again what was put aside for want of a function that a living worker of its queue has by now.

    Durable when it returns; the queues are woken. Returns how many attempts there were.
    """
    names = (
        f"SELECT DISTINCT queue, name FROM (SELECT queue, name FROM {ACTIVITY} WHERE blocked > '' LIMIT %s) AS found"
    )
    count = 0
    for queue, name in sql.fetch(names, [BLOCKED_ROWS]):
        if name in processes.functions_served(queue, now).get("activity", ()):
            with transaction.atomic():
                again = f"UPDATE {ACTIVITY} SET blocked = '' WHERE blocked > '' AND queue = %s AND name = %s"
                freed = sql.run(again, [queue, name])
                announce_work(queue, items=freed)
            count += freed
    return count


def retry_blocked(fingerprint: str, now: datetime) -> int:
    """Make due what was parked under other code than `fingerprint`'s: a worker has just come with it (NDT-6)."""
    with transaction.atomic(durable=True):
        rows = Schedule.objects.filter(blocked__gt="").exclude(blocked_detail__contains=fingerprint)
        rows = rows.filter(lease_until=None).select_for_update(no_key=True, skip_locked=True)
        found = dict(rows.order_by("pk").values_list("pk", "queue"))
        Schedule.objects.filter(pk__in=found).update(due_at=now)
        deferred = sql.fetch(
            f"UPDATE {ACTIVITY} SET due_at = %s, blocked = '' WHERE blocked > '' RETURNING queue", [now]
        )
        queues = [*found.values(), *(queue for (queue,) in deferred)]
        for queue in set(queues):
            announce_work(queue, items=queues.count(queue))
    return len(queues)


def _lock_held(table: str, owner: str) -> list[int]:
    """Lock what the owner holds, in key order: else this and a commit could wait for each other. Return the keys."""
    key = _KEYS[table]
    statement = f"SELECT {key} FROM {table} WHERE {HELD} ORDER BY {key}{conditions.locking(_LOCKS[table])}"
    return [found for (found,) in sql.fetch(statement, [owner])]


def _let_go(table: str, keys: Sequence[int]) -> list[tuple[Any, ...]]:
    """Free rows that are locked already."""
    if not keys:
        return []
    condition, values = conditions.among(_KEYS[table], keys)
    statement = f"UPDATE {table} SET lease_owner = '', lease_until = NULL WHERE {condition} RETURNING queue, due_at"
    return sql.fetch(statement, values)


def _announce(rows: Sequence[tuple[str, object]]) -> None:
    earliest: dict[str, list[datetime]] = {}
    for queue, due_at in rows:
        moment = sql.read_time(due_at)
        if moment is not None:
            earliest.setdefault(queue, []).append(moment)
    for queue, moments in earliest.items():
        announce_work(queue, min(moments), items=len(moments))
