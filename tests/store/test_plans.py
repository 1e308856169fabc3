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
from orchestrations.store.models import ActivityTask, Instance, Schedule
from tests.bursts import drain
from tests.store.filling import ASLEEP_FROM, fill_with_activities, fill_with_ended, fill_with_sleepers
from tests.store.holding import claim, commit, hold, plan, result_of, start, turn
from tests.store.plans import Reads, watch_reads

COUNT = 100_000


@pytest.fixture
def fill() -> Callable[[], None]:
    """A hundred thousand waiting instances, as many that have ended, as many activities that nobody serves."""

    def work() -> None:
        fill_with_sleepers(COUNT)
        fill_with_ended(COUNT)
        fill_with_activities(ASLEEP_FROM + 1, "main.gpu", COUNT)
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
    fill_with_activities(key, "main.gpu", COUNT)
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
