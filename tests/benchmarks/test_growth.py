"""What a step costs at a large size over what it costs at a small one: many instances beside it, a long history."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from django.db import connection

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.store.models import Instance
from tests.benchmarks import measures
from tests.benchmarks.ground import RAW_COMMIT, Ground
from tests.benchmarks.report import Goal, Line, Report
from tests.histories import append
from tests.servers import database_kind
from tests.store.filling import fill_with_ended, fill_with_sleepers
from tests.workers import run_workers

ASLEEP, ENDED = 1_000_000, 100_000
SHORT, LONG = 500, 50_000
FLAT = Goal(most=1.1, of_figure=True, text="≤ 1.1")

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


def test_beside_a_million_sleepers_and_a_hundred_thousand_that_have_ended(ground: Ground, report: Report) -> None:
    """Each step alone, then beside them; the client asks about its own instances."""
    with run_workers(1):
        measures.warm_up()
        alone = {name: _median(measure) for name, measure in STEPS.items()}
        ground.sample()
        fill_with_sleepers(ASLEEP)
        fill_with_ended(ENDED)
        if database_kind() == "postgres":
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        _run_sequences()  # what was filled has left the caches
        beside = {name: _median(measure) for name, measure in STEPS.items()}
        ground.sample()
    for name in STEPS:
        base = ground.milliseconds(RAW_COMMIT)
        report.add(Line(f"growth: {name}", 0, 1, alone[name], "ms", RAW_COMMIT, base))
        report.add(Line(f"growth: {name}", ASLEEP, 1, beside[name], "ms", RAW_COMMIT, base))
        report.add(Line(f"growth: {name}, large/small", ASLEEP, 1, beside[name] / alone[name], "×", goal=FLAT))


def test_a_live_step_of_a_long_history(ground: Ground, report: Report) -> None:
    """One instance whose history grows to fifty thousand events: a step at its end over one at its beginning."""
    steps = LONG // 4
    with run_workers(1):
        measures.warm_up()
        ground.sample()
        (instance_id,) = measures.start_many("sequence", steps, 1)
        measures.wait_for_all()
        ground.sample()
    measures.check([instance_id], sum(range(steps)), steps)
    times = measures.step_times(instance_id)
    early, late = (measures.milliseconds_around(times, place, 200) for place in (SHORT // 4 + 100, steps - 200))
    report.add(Line("growth: live step of a history", LONG, 1, late, "ms", RAW_COMMIT, ground.milliseconds(RAW_COMMIT)))
    report.add(Line("growth: live step, large/small", LONG, 1, late / early, "×", goal=FLAT))


def test_a_replayed_turn_of_a_long_history(ground: Ground, report: Report) -> None:
    """A turn without a live body reads and replays its history: what an event costs in a long one over a short one."""
    costs = {}
    with run_workers(1, DURABLE_ALWAYS_REPLAY="1"):
        measures.warm_up()
        ground.sample()
        for size in (LONG // 10, LONG):
            costs[size] = statistics.median(_replay(size) for _ in range(3)) / size
        ground.sample()
    base = ground.milliseconds(RAW_COMMIT)
    report.add(Line("growth: replay of an event", LONG, 1, costs[LONG], "ms", RAW_COMMIT, base))
    report.add(Line("growth: replay, large/small", LONG, 1, costs[LONG] / costs[LONG // 10], "×", goal=FLAT))


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(5))


def _run_sequences() -> float:
    began = time.perf_counter()
    ids = measures.start_many("sequence", 3, 100)
    measures.wait_for_these(ids)
    took = (time.perf_counter() - began) * 1000
    measures.check_these(ids, 3, 3)
    return took / len(ids)


def _run_steps() -> float:
    (instance_id,) = measures.start_many("sequence", 300, 1)
    measures.watch(instance_id)
    measures.check_these([instance_id], sum(range(300)), 300)
    times = measures.step_times(instance_id)
    return (times[-1] - times[0]).total_seconds() * 1000 / len(times)


def _run_alone() -> float:
    found = []
    for _ in range(10):
        began = time.perf_counter()
        (instance_id,) = measures.start_many("sequence", 3, 1)
        measures.watch(instance_id)
        found.append((time.perf_counter() - began) * 1000)
        measures.check_these([instance_id], 3, 3)
    return statistics.median(found)


def _list() -> float:
    began = time.perf_counter()
    for _ in range(20):
        queries.list_instances("main", queries.InstanceFilter(), size=50)
    return (time.perf_counter() - began) * 1000 / 20


STEPS = {
    "an instance of 3 among 100": _run_sequences,
    "a step in sequence": _run_steps,
    "an instance of 3 alone": _run_alone,
    "a page of the list": _list,
}


def _replay(size: int) -> float:
    """Return what a turn takes whose history has so many events that nobody waits for, in milliseconds."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["go"])
    measures.wait_for_bodies(1)
    row = Instance.objects.select_related("schedule").get(instance_id=instance_id)
    event = {"EventType": "EventRaised", "EventId": -1, "Timestamp": "2026-01-01T00:00:00Z", "Name": "x", "Input": "1"}
    start = row.schedule.position
    append(row.pk, row.schedule.execution, start, [event] * size)
    row.schedule.position, row.schedule.history_size = start + size, row.schedule.history_size + 90 * size
    row.schedule.save(update_fields=["position", "history_size"])
    began = time.perf_counter()
    client.raise_event(instance_id, "go", 1)
    measures.watch(instance_id)
    return (time.perf_counter() - began) * 1000
