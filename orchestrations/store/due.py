"""What is due and nobody's, and when something will be: what the sweeper asks."""

from __future__ import annotations

from datetime import datetime

from orchestrations.store import sql
from orchestrations.store.claims import ACTIVITY, INSTANCE

COUNT_LIMIT = 1000


def count_due(now: datetime) -> dict[str, int]:
    """Return queue → number of work items that are due and nobody's (lapsed leases included).

    Counting stops at 1000 rows of a queue and table, so that a backlog costs little and hides no other queue.
    """
    counts: dict[str, int] = {}
    for table in (INSTANCE, ACTIVITY):
        # the names are stepped through in the index, which is quicker than DISTINCT over a backlog
        rows = sql.fetch(
            f"WITH RECURSIVE queues(queue) AS (SELECT min(queue) FROM {table} WHERE due_at IS NOT NULL"
            f" UNION ALL SELECT (SELECT min(t.queue) FROM {table} t WHERE t.due_at IS NOT NULL AND t.queue > q.queue)"
            " FROM queues q WHERE q.queue IS NOT NULL)"
            f" SELECT queue, (SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE t.queue = queues.queue"
            " AND t.due_at <= %s AND (t.lease_owner = '' OR t.lease_until <= %s) LIMIT %s) AS found)"
            " FROM queues WHERE queue IS NOT NULL",
            [now, now, COUNT_LIMIT],
        )
        for queue, count in rows:
            if count:
                counts[queue] = counts.get(queue, 0) + count
    return counts


def list_upcoming(now: datetime, horizon: datetime) -> list[tuple[str, datetime]]:
    """Return (queue, instant) of what becomes due after `now` and up to `horizon`, at most 1000 of each table."""
    found: list[tuple[str, datetime]] = []
    for table in (INSTANCE, ACTIVITY):
        rows = sql.fetch(
            f"SELECT DISTINCT queue, due_at FROM {table} WHERE due_at > %s AND due_at <= %s ORDER BY due_at LIMIT %s",
            [now, horizon, COUNT_LIMIT],
        )
        for queue, value in rows:
            at = sql.read_time(value)
            assert at is not None
            found.append((queue, at))
    return found
