"""W6: how late timers are, in a crowd and alone."""

from __future__ import annotations

import statistics
import time
from unittest.mock import ANY

import pytest

from orchestrations.store import clock
from tests.benchmarks import measures
from tests.benchmarks.ground import RAW_COMMIT, Ground, repeat
from tests.benchmarks.report import Goal, Line, Report
from tests.workers import run_workers

WORKERS = pytest.mark.parametrize("workers", [1, 2])

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


@WORKERS
@pytest.mark.parametrize("size", [50, 500])
def test_w6_timers(size: int, workers: int, ground: Ground, report: Report) -> None:
    """So many timers of one second, set as fast as instances start."""
    found: list[float] = []

    def measure() -> float:
        ids = measures.start_many("timer", 1.0, size)
        measures.wait_for_all()
        late = measures.lateness(ids)
        assert len(late) == size
        assert min(late) >= 0
        found.extend(late)
        measures.check(ids, ANY, 0)
        return statistics.median(late)

    with run_workers(workers):
        measures.warm_up()
        middle = repeat(ground, measure)
    base = ground.milliseconds(RAW_COMMIT)
    report.add(Line("W6 timers, lateness p50", size, workers, middle, "ms", RAW_COMMIT, base))
    late = measures.percentile(found, 0.95)
    report.add(Line("W6 timers, lateness p95", size, workers, late, "ms", RAW_COMMIT, base))


@WORKERS
@pytest.mark.parametrize("size", [1])
def test_w6_lone_timer(size: int, workers: int, ground: Ground, report: Report) -> None:
    """One timer at a time, of various lengths; late is when a client sees its instance's end."""
    found = []
    with run_workers(workers):
        measures.warm_up()
        ground.sample()
        for number in range(20):
            ids = measures.start_many("timer", 0.15 + 0.137 * (number % 7), size)
            measures.wait_until(lambda i=ids[0]: measures.fire_at(i) is not None, 0.02)  # type: ignore[misc]
            at = measures.fire_at(ids[0])
            assert at is not None
            time.sleep(max(0.0, (at - clock.now()).total_seconds() - 0.02))
            found.append((measures.watch(ids[0]) - at).total_seconds() * 1000)
        ground.sample()
    assert min(found) >= 0
    base = ground.milliseconds(RAW_COMMIT)
    report.add(Line("W6 lone timer, lateness p50", size, workers, statistics.median(found), "ms", RAW_COMMIT, base))
    goal = Goal(most=100, of_figure=True, text="< 100 ms")
    late = measures.percentile(found, 0.95)
    report.add(Line("W6 lone timer, lateness p95", size, workers, late, "ms", RAW_COMMIT, base, goal))
