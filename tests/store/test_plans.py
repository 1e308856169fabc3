"""A step reads what it returns: however much waits, is due elsewhere, or has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.client.queries.stuck import ROWS
from orchestrations.store import activities, clock, due, leases, sql
from orchestrations.store.models import ActivityTask, Gate, Instance, Schedule, TaskHub
from tests.bursts import drain
from tests.store.holding import claim, commit, hold, plan, result_of, start, turn
from tests.store.plans import Reads, watch_reads

COUNT = 100_000


def _numbers() -> str:
    if sql.is_postgres():
        return f"SELECT generate_series(1, {COUNT}) AS n"
    return f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {COUNT}) SELECT n FROM c"


def fill_with_instances(status: str, gate: Gate, due_at: str, first: int) -> None:
    """Insert so many instances with their schedules: what has ended, or waits for an instant far away."""
    hub, now = TaskHub.objects.get(name="main").pk, sql.write_time(clock.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_instance (id, hub_id, instance_id, name, status, status_reason, tags, priority,"
            " parent_execution, parent_attempt, depth, created_at)"
            f" SELECT {first} + n, %s, 'bulk-' || ({first} + n), 'bulk', %s, '', '{{}}', 0, '', 1, 0, %s"
            f" FROM ({_numbers()}) numbers",
            [hub, status, now],
        )
        cursor.execute(
            "INSERT INTO orchestrations_schedule (instance_id, queue, capability, due_at, gate, lease_owner,"
            " lease_epoch, losses, arrivals, execution, position, history_size, revision, updated_at, waiting, blocked,"
            " blocked_detail)"
            f" SELECT {first} + n, 'main.default', 'bulk', {due_at}, %s, '', 1, 0, 1, 'e', 4, 100, 2, %s, '[]', '', ''"
            f" FROM ({_numbers()}) numbers",
            [int(gate), now],
        )


def fill_with_timers(first: int, far: str) -> None:
    """Insert what each of the waiting instances waits for, and an event of its history."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_inboxmessage (instance_id, execution, not_before, kind, is_control, sender,"
            " sender_sequence, body, size)"
            f" SELECT {first} + n, 'e', {far}, 'TimerFired', FALSE, 'timer/e/1', 1, '{{}}', 2"
            f" FROM ({_numbers()}) numbers"
        )
        cursor.execute(
            "INSERT INTO orchestrations_historypart (instance_id, execution, sequence, count, body)"
            f" SELECT {first} + n, 'e', 0, 1, '{{}}' FROM ({_numbers()}) numbers"
        )


def fill_with_activities(instance: int, queue: str) -> None:
    """Insert so many activities of a queue, due for a minute: that is longer than the time of grace."""
    past = sql.write_time(clock.now() - timedelta(minutes=1))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrations_activitytask (instance_id, execution, sequence, attempt, name, queue, priority,"
            " created_at, due_at, lease_owner, lease_epoch, losses, blocked, size)"
            f" SELECT %s, 'e', n, 1, 'echo', %s, 0, %s, %s, '', 0, 0, '', 0 FROM ({_numbers()}) numbers",
            [instance, queue, past, past],
        )


@pytest.fixture
def fill() -> Callable[[], None]:
    """A hundred thousand waiting instances, as many that have ended, as many activities that nobody serves."""

    def work() -> None:
        far = "'2100-01-01 00:00:00+00'" if sql.is_postgres() else "'2100-01-01 00:00:00'"
        fill_with_instances("Running", Gate.OPEN, far, 1_000_000)
        fill_with_instances("Completed", Gate.CLOSED, "NULL", 2_000_000)
        fill_with_timers(1_000_000, far)
        fill_with_activities(1_000_001, "main.gpu")
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")

    return work


def _turn_over(name: str) -> None:
    """One start, claim, turn and commit, with an event in between, and a release."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", name, ["a", "b"])
    commit(plan(hold(claim(name).instances), keep=False))
    client.raise_event(instance_id, "a", 1)
    commit(plan(hold(claim(name).instances), keep=False))
    client.raise_event(instance_id, "b", 1)
    held = claim(name).instances
    leases.release(held, clock.now())
    leases.hand_back(name)
    commit(plan(hold(claim(name).instances)))


def _sweep() -> None:
    now = clock.now()
    due.list_upcoming(now, now + timedelta(seconds=1.25))
    leases.renew(["nobody"], [], now, 30.0)


def _measure(step: Callable[[], None]) -> Reads:
    with watch_reads() as reads:
        step()
    assert reads.scans == [], str(reads)
    return reads


def test_a_turn_from_claim_to_commit_reads_no_more_rows_beside_300000_others(fill: Callable[[], None]) -> None:
    _turn_over("warm-up")
    alone = _measure(lambda: _turn_over("alone"))
    fill()
    beside = _measure(lambda: _turn_over("beside"))
    assert beside.rows <= alone.rows + 10, f"alone:\n{alone}\nbeside:\n{beside}"


def test_a_sweep_reads_no_more_rows_beside_300000_others(fill: Callable[[], None]) -> None:
    start()
    alone = _measure(_sweep)
    fill()
    beside = _measure(_sweep)
    assert beside.rows <= alone.rows + 20, f"alone:\n{alone}\nbeside:\n{beside}"


def test_counting_what_is_due_stops_at_a_bound_for_each_queue(fill: Callable[[], None]) -> None:
    start()
    fill()
    with watch_reads() as reads:
        assert due.count_due(clock.now()) == {"main.default": 1, "main.gpu": due.COUNT_LIMIT}
    assert reads.scans == []
    if sql.is_postgres():
        assert reads.rows <= due.COUNT_LIMIT + 50, str(reads)


def test_pages_and_the_look_for_what_is_stuck_read_what_they_show(fill: Callable[[], None]) -> None:
    start()
    Schedule.objects.update(due_at=clock.now() - timedelta(minutes=1))
    fill()
    with watch_reads() as reads:
        page = queries.list_instances("main", queries.InstanceFilter(), size=50)
        stuck = queries.list_instances("main", queries.InstanceFilter(blocked=True), size=50)
    assert (len(page.rows), len(stuck.rows)) == (50, 2)
    if sql.is_postgres():
        assert reads.rows <= 51 * 8 + 2 * ROWS, str(reads)  # of attempts, and of what they are called
    assert Instance.objects.count() == Schedule.objects.count() == 2 * COUNT + 1


@pytest.mark.skipif(not sql.is_postgres(), reason="SQLite's plans do not depend on how many rows there were")
def test_a_wide_fan_out_reads_each_row_a_few_times_where_statistics_are_of_an_empty_table() -> None:
    """What is often empty has been counted when it was: its plans must be right for what is in it at other times."""
    count = 1000
    key = start("fan_out", count)
    fill_with_activities(key, "main.gpu")
    ActivityTask.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'orchestrations_activitytask'")
        assert cursor.fetchall() == [(0.0,)]
    turn("w", share=False, keep=False)
    with watch_reads() as reads:
        mine = claim("w", instances=0).activities
        leases.renew(["w"], [(one.id, "w") for one in mine], clock.now(), 60.0)
        for begin in range(0, count, 100):
            activities.settle([result_of(one) for one in mine[begin : begin + 100]], "w")
    assert len(mine) == count
    assert not ActivityTask.objects.exists()
    assert reads.rows <= 40 * count, str(reads)


def test_no_index_has_the_columns_with_which_another_begins() -> None:
    """Each costs every insert; Django makes one of its own for a foreign key unless it is told not to."""
    twice = []
    models: list[Any] = list(apps.get_app_config("orchestrations").get_models())
    for model in models:
        own = [[field.attname] for field in model._meta.local_fields if field.db_index and not field.unique]
        others = [list(index.fields) for index in model._meta.indexes if index.condition is None]
        others += [list(c.fields) for c in model._meta.constraints if getattr(c, "condition", True) is None]
        others += [[field.attname] for field in model._meta.local_fields if field.unique]
        names = [[model._meta.get_field(name.lstrip("-")).attname for name in columns] for columns in [*own, *others]]
        twice += [(model.__name__, a) for a, b in permutations(names, 2) if b[: len(a)] == a]
    assert twice == []


@pytest.mark.skipif(not sql.is_postgres(), reason="SQLite prepares without values, and knows no heap-only updates")
def test_steady_turns_are_planned_once_and_touch_no_index_of_the_schedule() -> None:
    """A plan costs more than what it plans; a lease that is moved with every turn would write three index entries."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_reset_single_table_counters('orchestrations_schedule'::regclass)")
    DurableClient().start_new("sequence", client_input=40)
    for number in range(3):
        for _ in range(number):
            DurableClient().start_new("sequence", client_input=3)
        drain()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, custom_plans FROM pg_prepared_statements WHERE custom_plans > 8")
        assert cursor.fetchall() == []
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'orchestrations_schedule'"
        )
        ((updates, heap_only),) = cursor.fetchall()
    assert heap_only >= updates - 20
