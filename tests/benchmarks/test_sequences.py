"""W1 and W2: activities one after the other, in many instances and in one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from datetime import datetime

import pytest

from tests.benchmarks import measures
from tests.benchmarks.ground import CREATE, HAND_OVER, RAW_COMMIT, Ground, repeat
from tests.benchmarks.report import Goal, Line, Report
from tests.servers import database_kind
from tests.workers import run_workers

WORKERS = pytest.mark.parametrize("workers", [1, 2])

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


@WORKERS
@pytest.mark.parametrize("size", [50, 500])
def test_w1_sequences(size: int, workers: int, ground: Ground, report: Report) -> None:
    """Many instances of three activities in sequence, from the first start to the last end."""

    def measure() -> float:
        ids = measures.start_many("sequence", 3, size)
        measures.wait_for_all()
        measures.check(ids, 3, 3)
        return size / measures.seconds_of(ids)

    with run_workers(workers):
        measures.warm_up()
        rate = repeat(ground, measure)
    report.add(
        Line("W1 sequences of 3", size, workers, rate, "instances/s", CREATE, ground.rate(CREATE), Goal(least=1 / 4))
    )


@WORKERS
@pytest.mark.parametrize("size", [1, 3])
def test_w1_idle_latency(size: int, workers: int, ground: Ground, report: Report) -> None:
    """One instance of `size` activities while nothing else runs, as a client that asks every millisecond sees it."""

    def measure() -> float:
        began = time.perf_counter()
        (instance_id,) = measures.start_many("sequence", size, 1)
        measures.watch(instance_id)
        return (time.perf_counter() - began) * 1000

    with run_workers(workers):
        measures.warm_up()
        ground.sample()
        found = []
        for _ in range(30):
            found.append(measure())
            time.sleep(0.02)  # the worker rests again
        ground.sample()
    base = (size + 3) * ground.milliseconds(RAW_COMMIT) + 2 * ground.milliseconds(HAND_OVER)
    name = f"{size + 3} commits + 2 hand-overs"
    report.add(Line("W1 idle latency p50", size, workers, statistics.median(found), "ms", name, base, Goal(most=2)))


@WORKERS
@pytest.mark.parametrize("size", [200, 2000])
def test_w2_long_sequence(size: int, workers: int, ground: Ground, report: Report) -> None:
    """One instance of many activities in sequence; what a step costs at the end and at the beginning."""
    times = []

    def measure() -> float:
        ids = measures.start_many("sequence", size, 1)
        measures.wait_for_all()
        measures.check(ids, sum(range(size)), size)
        times.append(measures.step_times(ids[0]))
        return size / measures.seconds_of(ids)

    with run_workers(workers):
        measures.warm_up()
        rate = repeat(ground, measure)
    share = 6 if database_kind() == "postgres" else 8
    goal = Goal(least=1 / share, text=f"≥ 1/{share}")
    report.add(Line("W2 long sequence", size, workers, rate, "steps/s", RAW_COMMIT, ground.rate(RAW_COMMIT), goal))
    growth = Goal(most=1.3, of_figure=True, text="< 1.3") if size == 2000 else None
    _report_growth(report, "W2 long sequence", size, workers, times, growth)
    for length in (100, 1000, 6000) if size == 2000 else ():
        _report_turn_cost(report, ground, "live bodies", length, workers, times)


@WORKERS
@pytest.mark.parametrize("size", [50, 300])
def test_w2_with_replay_in_every_turn(size: int, workers: int, ground: Ground, report: Report) -> None:
    """The same without live bodies: what they save."""
    times = []

    def measure() -> float:
        ids = measures.start_many("sequence", size, 1)
        measures.wait_for_all()
        measures.check(ids, sum(range(size)), size)
        times.append(measures.step_times(ids[0]))
        return size / measures.seconds_of(ids)

    with run_workers(workers, DURABLE_ALWAYS_REPLAY="1"):
        measures.warm_up()
        rate = repeat(ground, measure)
    report.add(Line("W2 always replay", size, workers, rate, "steps/s", RAW_COMMIT, ground.rate(RAW_COMMIT)))
    _report_growth(report, "W2 always replay", size, workers, times, None)
    for length in (100, 1000) if size == 300 else ():
        _report_turn_cost(report, ground, "always replay", length, workers, times)


def _report_growth(
    report: Report, workload: str, size: int, workers: int, times: Sequence[Sequence[datetime]], goal: Goal | None
) -> None:
    ratio = statistics.median(measures.quarter_ratio(each) for each in times)
    report.add(Line(f"{workload}, last/first quarter", size, workers, ratio, "×", goal=goal))


def _report_turn_cost(
    report: Report, ground: Ground, how: str, length: int, workers: int, times: Sequence[Sequence[datetime]]
) -> None:
    """Report what a step costs where the history has so many events; each step adds four."""
    cost = statistics.median(measures.milliseconds_around(each, length // 4) for each in times)
    name = f"W2 step at history length, {how}"
    report.add(Line(name, length, workers, cost, "ms", RAW_COMMIT, ground.milliseconds(RAW_COMMIT)))
