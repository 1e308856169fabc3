"""Leases: renew, release, hand back, park; always by owner, and by epoch where one instance is meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from orchestrations.store import inbox, looks, processes, sql
from orchestrations.store.claims import ACTIVITY, ClaimedInstance
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.looks import Question, Waiting
from orchestrations.store.models import Gate, Schedule
from orchestrations.store.signals import announce_change, announce_work

HELD = "lease_until IS NOT NULL AND lease_owner = %s"
"""What somebody holds, in the words of the index on it."""

_KEYS = {SCHEDULE: "instance_id", ACTIVITY: "id"}
_DUE = sql.Columns(Schedule, instance_id="int", due_at="time")

FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 10.0, 600.0


def release(held: Sequence[ClaimedInstance], now: datetime) -> int:
    """Give back leases of instances that have nothing to take now. Returns how many were still ours.

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
            _free(ours, now)
        own = {one.row.instance_id for one in ours}
        inbox.wake_for([], [target for key, target in targets.items() if key not in own], now)
    return len(ours)


def _free(ours: Sequence[ClaimedInstance], now: datetime) -> None:
    found = looks.look([Question(one.row.instance_id, one.facts.status) for one in ours], now)
    rows, moments = [], []
    for one in ours:
        due_at = found.get(one.row.instance_id, Waiting()).due_at(one.facts.status, now)
        rows.append({"instance_id": one.row.instance_id, "due_at": due_at})
        if due_at is not None:
            moments.append((one.row.queue, due_at))
    sql.update(_DUE, "due_at = v.due_at, lease_owner = '', lease_until = NULL", rows)
    _announce(moments)


def _is(held: ClaimedInstance, owner: str, epoch: int) -> bool:
    return (held.row.lease_owner, held.row.lease_epoch) == (owner, epoch)


def hand_back(owner: str, *, keep_activity: int | None = None) -> int:
    """Free all that a worker holds, but the activity that it runs; its commits will find the leases gone.

    For a worker that has died, or whose activity outlives its slice. Durable when it returns; the queues are woken.
    """
    with transaction.atomic():
        instances = sql.fetch(
            f"UPDATE {SCHEDULE} SET lease_owner = '', lease_until = NULL"
            f" WHERE {_in_order(SCHEDULE, HELD)} RETURNING queue, due_at",
            [owner],
        )
        activities = sql.fetch(
            f"UPDATE {ACTIVITY} SET lease_owner = '', lease_until = NULL"
            f" WHERE {_in_order(ACTIVITY, f'{HELD} AND id <> %s')} RETURNING queue, due_at",
            [owner, keep_activity or 0],
        )
        _announce([*instances, *activities])
    return len(instances) + len(activities)


def expire(owner: str, now: datetime) -> int:
    """Let all leases of a dead worker run out now: what it held counts as lost and is claimed row by row."""
    with transaction.atomic():
        rows = []
        for table in (SCHEDULE, ACTIVITY):
            rows += sql.fetch(
                f"UPDATE {table} SET lease_until = %s WHERE {_in_order(table, HELD)} RETURNING queue, due_at",
                [now, owner],
            )
        _announce(rows)
    return len(rows)


def renew(owners: Sequence[str], now: datetime, seconds: float) -> None:
    """Lengthen the leases of living workers that have not run out; rows that are locked are skipped."""
    if not owners:
        return
    condition, values = sql.among("lease_owner", owners)
    until = now + timedelta(seconds=seconds)
    for table, lock in ((SCHEDULE, "FOR NO KEY UPDATE SKIP LOCKED"), (ACTIVITY, "FOR UPDATE SKIP LOCKED")):
        key = _KEYS[table]
        sql.run(
            f"UPDATE {table} SET lease_until = %s WHERE {key} IN (SELECT {key} FROM {table}"
            f" WHERE {condition} AND lease_until > %s{sql.locking(lock)})",
            [until, *values, now],
        )


def park(held: ClaimedInstance, reason: str, message: str, fingerprint: str, now: datetime) -> None:
    """Mark an instance as blocked and give its lease back; it is tried again after 10 s, doubling to 10 min (NDT-6).

    Its status, history and inbox stay as they are. Management that waits makes it due at once: it needs no code. While
    workers run other code than this one's, the pause does not grow. Durable when it returns; nothing if the lease was
    lost.
    """
    row = held.row
    past = json.loads(row.blocked_detail) if row.blocked == reason and row.blocked_detail else {}
    tries = past.get("tries", 0) + 1
    since = past.get("since", now.isoformat())
    detail = {"message": message, "since": since, "tries": tries, "fingerprint": fingerprint}
    doublings = 0 if processes.runs_other_code(fingerprint, now) else min(tries - 1, 10)
    with transaction.atomic(durable=True):
        targets = inbox.lock([row.instance_id])
        target = targets.get(row.instance_id)
        if target is None or not _is(held, target.lease_owner, target.lease_epoch):
            return
        due_at = now + timedelta(seconds=min(FIRST_TRY_SECONDS * 2**doublings, LAST_TRY_SECONDS))
        due_at = now if inbox.has_control(row.instance_id) else due_at
        rows = sql.fetch(
            f"UPDATE {SCHEDULE} SET blocked = %s, blocked_detail = %s, gate = %s, due_at = %s, updated_at = %s,"
            " lease_owner = '', lease_until = NULL, losses = 0, revision = revision + 1"
            " WHERE instance_id = %s RETURNING revision",
            [reason, json.dumps(detail), int(Gate.HELD), due_at, now, row.instance_id],
        )
        announce_change(held.hub, held.facts.instance_id, rows[0][0])
        announce_work(row.queue, due_at)


def retry_blocked(fingerprint: str, now: datetime) -> int:
    """Make due what was parked under other code than `fingerprint`'s: a worker has just come with it (NDT-6)."""
    with transaction.atomic(durable=True):
        rows = Schedule.objects.filter(blocked__gt="").exclude(blocked_detail__contains=fingerprint)
        rows = rows.filter(lease_until=None).select_for_update(no_key=True, skip_locked=True)
        found = dict(rows.order_by("pk").values_list("pk", "queue"))
        Schedule.objects.filter(pk__in=found).update(due_at=now)
        deferred = sql.fetch(f"UPDATE {ACTIVITY} SET due_at = %s WHERE blocked > '' RETURNING queue", [now])
        queues = [*found.values(), *(queue for (queue,) in deferred)]
        for queue in set(queues):
            announce_work(queue, items=queues.count(queue))
    return len(queues)


def _in_order(table: str, condition: str) -> str:
    """Return the condition so that it locks the rows in key order: else this and a commit could wait for each other."""
    lock = sql.locking("FOR NO KEY UPDATE" if table == SCHEDULE else "FOR UPDATE")
    key = _KEYS[table]
    return f"{key} IN (SELECT {key} FROM {table} WHERE {condition} ORDER BY {key}{lock})"


def _announce(rows: Sequence[tuple[str, object]]) -> None:
    earliest: dict[str, list[datetime]] = {}
    for queue, due_at in rows:
        moment = sql.read_time(due_at)
        if moment is not None:
            earliest.setdefault(queue, []).append(moment)
    for queue, moments in earliest.items():
        announce_work(queue, min(moments), items=len(moments))
