"""Leases: renew, release, hand back, park; always by owner, and by epoch where one instance is meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrations.store import sql
from orchestrations.store.claims import ACTIVITY, INSTANCE, ClaimedInstance, Lease
from orchestrations.store.models import Instance
from orchestrations.store.signals import announce_change, announce_work

FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 10.0, 600.0


def release(leases: Sequence[Lease]) -> int:
    """Give leases back; instances that are still due are announced. Returns how many were still ours."""
    if not leases:
        return 0
    condition, values = sql.among_pairs("id, lease_epoch", [(le.instance, le.epoch) for le in leases], ("int", "int"))
    with transaction.atomic():
        rows = sql.fetch(
            f"UPDATE {INSTANCE} SET lease_owner = '', lease_until = NULL"
            f" WHERE {_in_order(INSTANCE, f'{condition} AND lease_owner = %s')} RETURNING queue, due_at",
            [*values, leases[0].owner],
        )
        _announce(rows)
    return len(rows)


def hand_back(owner: str, keep: Callable[[], Collection[int]] = tuple) -> int:
    """Free all that a worker holds, but the activities that `keep` names; its commits will find the leases gone.

    For a worker that was stopped, has lost its way, or whose activity outlives its slice: nothing counts as lost.
    `keep` is asked once the rows are locked, so what the worker leases after that is not among them. Durable when it
    returns; the queues are woken.
    """
    with transaction.atomic():
        held = [_lock_held(table, owner) for table in (INSTANCE, ACTIVITY)]
        kept = set(keep())
        rows = _free(INSTANCE, owner, held[0]) + _free(ACTIVITY, owner, [pk for pk in held[1] if pk not in kept])
        _announce(rows)
    return len(rows)


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
        for table, blamed in ((INSTANCE, instances), (ACTIVITY, activities)):
            held = _lock_held(table, owner)
            guilty = [pk for pk in held if blamed is None or pk in blamed]
            rows += _free(table, owner, [pk for pk in held if pk not in set(guilty)])
            if guilty:
                condition, values = sql.among("id", guilty)
                statement = f"UPDATE {table} SET lease_until = %s WHERE {condition} RETURNING queue, due_at"
                rows += sql.fetch(statement, [now, *values])
            found.append(guilty)
        _announce(rows)
    return Lost(*found)


def renew(owners: Sequence[str], running: Sequence[int], now: datetime, seconds: float) -> None:
    """Lengthen leases that have not run out: all of these owners, and those of activities that run.

    Rows that are locked are skipped: who locked them has just renewed them, or gives them back.
    """
    until = now + timedelta(seconds=seconds)
    held: list[tuple[str, str, Sequence[Any]]] = [(INSTANCE, "lease_owner", owners), (ACTIVITY, "lease_owner", owners)]
    for table, column, values in [*held, (ACTIVITY, "id", running)]:
        if not values:
            continue
        lock = "FOR NO KEY UPDATE SKIP LOCKED" if table == INSTANCE else "FOR UPDATE SKIP LOCKED"
        condition, parameters = sql.among(column, values)
        sql.run(
            f"UPDATE {table} SET lease_until = %s WHERE id IN (SELECT id FROM {table}"
            f" WHERE {condition} AND lease_owner <> '' AND lease_until > %s{sql.locking(lock)})",
            [until, *parameters, now],
        )


def park(held: ClaimedInstance, reason: str, message: str, fingerprint: str, now: datetime) -> None:
    """Mark an instance as blocked and give its lease back; it is tried again after 10 s, doubling to 10 min (NDT-6).

    Its status, history and inbox stay as they are. Durable when it returns; nothing if the lease was lost.
    """
    past = json.loads(held.blocked_detail) if held.blocked == reason and held.blocked_detail else {}
    tries = past.get("tries", 0) + 1
    since = past.get("since", now.isoformat())
    detail = {"message": message, "since": since, "tries": tries, "fingerprint": fingerprint}
    due_at = now + timedelta(seconds=min(FIRST_TRY_SECONDS * 2 ** min(tries - 1, 10), LAST_TRY_SECONDS))
    with transaction.atomic():
        rows = sql.fetch(
            f"UPDATE {INSTANCE} SET blocked = %s, blocked_detail = %s, due_at = %s, updated_at = %s,"
            " lease_owner = '', lease_until = NULL, lost_turns = 0, revision = revision + 1"
            " WHERE id = %s AND lease_owner = %s AND lease_epoch = %s RETURNING revision",
            [
                *(reason, json.dumps(detail), due_at, now),
                *(held.lease.instance, held.lease.owner, held.lease.epoch),
            ],
        )
        if rows:
            announce_change(held.hub, held.facts.instance_id, rows[0][0])
            announce_work(held.queue, due_at)


def retry_blocked(fingerprint: str, now: datetime) -> int:
    """Make due what was parked under other code than `fingerprint`'s: a worker has just come with it (NDT-6)."""
    with transaction.atomic():
        rows = Instance.objects.exclude(blocked="").exclude(blocked_detail__contains=fingerprint)
        keys = list(rows.select_for_update(no_key=True, skip_locked=True).order_by("id").values_list("pk", flat=True))
        count = Instance.objects.filter(pk__in=keys).update(due_at=now)
        deferred = sql.fetch(f"UPDATE {ACTIVITY} SET due_at = %s WHERE blocked <> '' RETURNING queue", [now])
        queues = set(Instance.objects.filter(pk__in=keys).values_list("queue", flat=True)) | {q for (q,) in deferred}
        for queue in queues:
            announce_work(queue, items=count + len(deferred))
    return count + len(deferred)


def _lock_held(table: str, owner: str) -> list[int]:
    lock = sql.locking("FOR NO KEY UPDATE" if table == INSTANCE else "FOR UPDATE")
    return [pk for (pk,) in sql.fetch(f"SELECT id FROM {table} WHERE lease_owner = %s ORDER BY id{lock}", [owner])]


def _free(table: str, owner: str, keys: Sequence[int]) -> list[tuple[Any, ...]]:
    """Free rows of the owner that are locked already."""
    if not keys:
        return []
    condition, values = sql.among("id", keys)
    statement = f"UPDATE {table} SET lease_owner = '', lease_until = NULL WHERE {condition} AND lease_owner = %s"
    return sql.fetch(f"{statement} RETURNING queue, due_at", [*values, owner])


def _in_order(table: str, condition: str) -> str:
    """Return the condition so that it locks the rows in id order: else this and a commit could wait for each other."""
    lock = sql.locking("FOR NO KEY UPDATE" if table == INSTANCE else "FOR UPDATE")
    return f"id IN (SELECT id FROM {table} WHERE {condition} ORDER BY id{lock})"


def _announce(rows: Sequence[tuple[str, object]]) -> None:
    earliest: dict[str, list[datetime]] = {}
    for queue, due_at in rows:
        moment = sql.read_time(due_at)
        if moment is not None:
            earliest.setdefault(queue, []).append(moment)
    for queue, moments in earliest.items():
        announce_work(queue, min(moments), items=len(moments))
