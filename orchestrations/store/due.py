"""What is due and nobody's, and when something will be: what the sweeper asks."""

from __future__ import annotations

from datetime import datetime

from orchestrations.store import sql
from orchestrations.store.claims import ACTIVITY
from orchestrations.store.inbox import SCHEDULE

COUNT_LIMIT = 1000
DUE, LAPSED = "due_at IS NOT NULL AND lease_until IS NULL", "lease_until IS NOT NULL"
TABLES = {SCHEDULE: DUE, ACTIVITY: "lease_until IS NULL AND blocked = ''"}
"""Table → the condition of its index of what is due and nobody's."""


def count_due(now: datetime) -> dict[str, int]:
    """Return queue → number of work items that are due and nobody's (lapsed leases included).

    Counting stops at 1000 rows of a queue and table, so that a backlog costs little and hides no other queue.
    """
    counts: dict[str, int] = {}
    for table, due in TABLES.items():
        for condition, column in ((due, "due_at"), (LAPSED, "lease_until")):
            rows = sql.fetch(
                f"{_queues(table, condition)} SELECT queue, (SELECT count(*) FROM (SELECT 1 FROM {table} t"
                f" WHERE t.queue = queues.queue AND {condition} AND t.{column} <= %s LIMIT %s) AS found)"
                " FROM queues WHERE queue IS NOT NULL",
                [now, COUNT_LIMIT],
            )
            for queue, count in rows:
                if count:
                    counts[queue] = counts.get(queue, 0) + count
    return counts


def list_upcoming(now: datetime, horizon: datetime) -> list[tuple[str, datetime]]:
    """Return (queue, instant) of what becomes due after `now` and up to `horizon`, at most 1000 of each table."""
    found: list[tuple[str, datetime]] = []
    for table, condition in TABLES.items():
        rows = sql.fetch(
            f"{_queues(table, condition)} SELECT q.queue, t.due_at FROM queues q JOIN {table} t ON t.queue = q.queue"
            f" AND t.due_at > %s AND t.due_at <= %s AND {condition} LIMIT %s",
            [now, horizon, COUNT_LIMIT],
        )
        for queue, value in rows:
            at = sql.read_time(value)
            assert at is not None
            found.append((queue, at))
    return found


def queues_with_due(now: datetime) -> set[str]:
    """Return the queues that have something due and nobody's, leases that have run out left aside."""
    found: set[str] = set()
    for table, condition in TABLES.items():
        rows = sql.fetch(
            f"{_queues(table, condition)} SELECT queue FROM queues WHERE queue IS NOT NULL AND EXISTS (SELECT 1"
            f" FROM {table} t WHERE t.queue = queues.queue AND {condition} AND t.due_at <= %s)",
            [now],
        )
        found |= {queue for (queue,) in rows}
    return found


def _queues(table: str, condition: str) -> str:
    """Return the head of a statement that steps through the queues' names in the index of that condition, which is
    quicker than DISTINCT over a backlog."""
    return (
        f"WITH RECURSIVE queues(queue) AS (SELECT min(queue) FROM {table} WHERE {condition}"
        f" UNION ALL SELECT (SELECT min(t.queue) FROM {table} t WHERE {condition} AND t.queue > q.queue)"
        " FROM queues q WHERE q.queue IS NOT NULL)"
    )
