"""What is due and nobody's, and when something will be: what the sweeper asks."""

from __future__ import annotations

from datetime import datetime

from orchestrations.store import sql
from orchestrations.store.activities import ACTIVITY
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.models import Worker

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
                f"WITH RECURSIVE {_queues(table, condition)}"
                f" SELECT queue, (SELECT count(*) FROM (SELECT 1 FROM {table} t"
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
            f"WITH RECURSIVE {_queues(table, condition)}"
            f" SELECT q.queue, t.due_at FROM queues q JOIN {table} t ON t.queue = q.queue"
            f" AND t.due_at > %s AND t.due_at <= %s AND {condition} LIMIT %s",
            [now, horizon, COUNT_LIMIT],
        )
        for queue, value in rows:
            at = sql.read_time(value)
            assert at is not None
            found.append((queue, at))
    return found


def unserved_queues(now: datetime, seen_since: datetime) -> list[str]:
    """Return the queues with something due that no worker serves, as far as one was seen since then. One statement."""
    heads, parts = [], []
    for number, (table, condition) in enumerate(TABLES.items()):
        heads.append(_queues(table, condition, f"queues{number}"))
        parts.append(
            f"SELECT queue FROM queues{number} q WHERE q.queue IS NOT NULL AND EXISTS (SELECT 1 FROM {table} t"
            f" WHERE t.queue = q.queue AND {condition} AND t.due_at <= %s)"
        )
    rows = sql.fetch(
        f"WITH RECURSIVE {', '.join(heads)} SELECT queue FROM ({' UNION '.join(parts)}) AS found"
        f" WHERE queue NOT IN (SELECT queue FROM {Worker._meta.db_table} WHERE seen_at >= %s) ORDER BY queue",
        [now, now, seen_since],
    )
    return [queue for (queue,) in rows]


def _queues(table: str, condition: str, name: str = "queues") -> str:
    """Return the part of a statement's head that steps through the queues' names in the index of that condition: that
    is quicker than DISTINCT over a backlog."""
    return (
        f"{name}(queue) AS (SELECT min(queue) FROM {table} WHERE {condition}"
        f" UNION ALL SELECT (SELECT min(t.queue) FROM {table} t WHERE {condition} AND t.queue > q.queue)"
        f" FROM {name} q WHERE q.queue IS NOT NULL)"
    )
