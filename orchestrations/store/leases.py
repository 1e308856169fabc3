"""Leases: renew, release, hand back, park; always by owner, and by epoch where one instance is meant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

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


def hand_back(owner: str, *, keep_activity: int | None = None) -> int:
    """Free all that a worker holds, but the activity that it runs; its commits will find the leases gone.

    For a worker that has died, or whose activity outlives its slice. Durable when it returns; the queues are woken.
    """
    with transaction.atomic():
        instances = sql.fetch(
            f"UPDATE {INSTANCE} SET lease_owner = '', lease_until = NULL"
            f" WHERE {_in_order(INSTANCE, 'lease_owner = %s')} RETURNING queue, due_at",
            [owner],
        )
        activities = sql.fetch(
            f"UPDATE {ACTIVITY} SET lease_owner = '', lease_until = NULL"
            f" WHERE {_in_order(ACTIVITY, 'lease_owner = %s AND id <> %s')} RETURNING queue, due_at",
            [owner, keep_activity or 0],
        )
        _announce([*instances, *activities])
    return len(instances) + len(activities)


def expire(owner: str, now: datetime) -> int:
    """Let all leases of a dead worker run out now: what it held counts as lost and is claimed row by row."""
    with transaction.atomic():
        rows = []
        for table in (INSTANCE, ACTIVITY):
            rows += sql.fetch(
                f"UPDATE {table} SET lease_until = %s WHERE {_in_order(table, 'lease_owner = %s')}"
                " RETURNING queue, due_at",
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
    for table, lock in ((INSTANCE, "FOR NO KEY UPDATE SKIP LOCKED"), (ACTIVITY, "FOR UPDATE SKIP LOCKED")):
        sql.run(
            f"UPDATE {table} SET lease_until = %s WHERE id IN (SELECT id FROM {table}"
            f" WHERE {condition} AND lease_until > %s{sql.locking(lock)})",
            [until, *values, now],
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
