"""Rows by the hundred thousand, as the database itself makes them: what waits, has ended, or nobody serves."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from orchestrations.store import clock, sql
from orchestrations.store.models import Gate, TaskHub

ASLEEP_FROM, ENDED_FROM = 1_000_000, 3_000_000
"""The keys of the first instances, less one."""


def fill_with_sleepers(count: int) -> None:
    """Insert so many instances that wait for a far timer, each with it in its inbox and an event in its history."""
    far = f"'2100-01-01 00:00:00{'+00' if sql.is_postgres() else ''}'"
    _insert_instances(ASLEEP_FROM, count, "Running", Gate.OPEN, far)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_inboxmessage (instance_id, execution, not_before, kind, is_control, sender,"
            " sender_sequence, body, size)"
            f" SELECT {ASLEEP_FROM} + n, 'e', {far}, 'TimerFired', FALSE, 'timer/e/1', 1, '{{}}', 2"
            f" FROM ({_numbers(count)}) numbers"
        )
        cursor.execute(
            "INSERT INTO orchestrations_historypart (instance_id, execution, sequence, count, body)"
            f" SELECT {ASLEEP_FROM} + n, 'e', 0, 1, '{{}}' FROM ({_numbers(count)}) numbers"
        )


def fill_with_ended(count: int) -> None:
    """Insert so many instances that have completed."""
    _insert_instances(ENDED_FROM, count, "Completed", Gate.CLOSED, "NULL")


def fill_with_activities(instance: int, queue: str, count: int) -> None:
    """Insert so many activities of a queue, due for a minute: that is longer than the time of grace."""
    past = sql.write_time(clock.now() - timedelta(minutes=1))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_activitytask (id, instance_id, execution, sequence, attempt, name, queue,"
            " priority, created_at, due_at, lease_owner, lease_epoch, losses, blocked, size)"
            " SELECT (SELECT COALESCE(max(id), 0) FROM orchestrations_activitytask) + n, %s, 'e', n, 1, 'echo',"
            f" %s, 0, %s, %s, '', 0, 0, '', 0 FROM ({_numbers(count)}) numbers",
            [instance, queue, past, past],
        )


def _insert_instances(first: int, count: int, status: str, gate: Gate, due_at: str) -> None:
    hub, now = TaskHub.objects.get(name="main").pk, sql.write_time(clock.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_instance (id, hub_id, instance_id, name, status, status_reason, tags, priority,"
            " parent_execution, parent_attempt, depth, created_at)"
            f" SELECT {first} + n, %s, 'bulk-' || ({first} + n), 'bulk', %s, '', '{{}}', 0, '', 1, 0, %s"
            f" FROM ({_numbers(count)}) numbers",
            [hub, status, now],
        )
        cursor.execute(
            "INSERT INTO orchestrations_schedule (instance_id, queue, capability, due_at, gate, lease_owner,"
            " lease_epoch, losses, arrivals, execution, position, history_size, revision, updated_at, waiting, blocked,"
            " blocked_detail, owed)"
            f" SELECT {first} + n, 'main.default', 'bulk', {due_at}, %s, '', 1, 0, 1, 'e', 4, 100, 2, %s, '[]',"
            " '', '', ''"
            f" FROM ({_numbers(count)}) numbers",
            [int(gate), now],
        )


def _numbers(count: int) -> str:
    if sql.is_postgres():
        return f"SELECT generate_series(1, {count}) AS n"
    return f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c"
