"""How the cost of events that an execution carries into the next one grows with their number."""

from __future__ import annotations

import time

import pytest

from orchestrations.client.client import DurableClient
from tests.benchmarks import measures
from tests.benchmarks.ground import RAW_COMMIT, Ground
from tests.benchmarks.report import Goal, Line, Report
from tests.workers import run_workers

SIZES = (100, 1000)
GOAL = Goal(most=12.0, of_figure=True, text="≤ 12")

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


def test_carried_events(ground: Ground, report: Report) -> None:
    """A counter continues as new for each of the events that wait for it; from its resumption to its end."""
    seconds: dict[int, float] = {}
    with run_workers(1):
        measures.warm_up()
        ground.sample()
        for size in SIZES:
            seconds[size] = min(_take_all(size) for _ in range(3))
            rate, base = size / seconds[size], ground.rate(RAW_COMMIT)
            report.add(Line("carried events", size, 1, rate, "events/s", RAW_COMMIT, base))
        ground.sample()
    ratio = seconds[SIZES[1]] / seconds[SIZES[0]]
    report.add(Line("carried events, 1,000 / 100", SIZES[1], 1, ratio, "×", goal=GOAL))


def _take_all(size: int) -> float:
    client = DurableClient()
    instance_id = client.start_new("count_events", client_input=[0, size])
    measures.wait_for_bodies(1)
    client.suspend(instance_id)
    measures.wait_until(lambda: str(client.get_status(instance_id).runtime_status) == "Suspended", 0.01)
    for number in range(size):
        client.raise_event(instance_id, "number", number)
    began = time.perf_counter()
    client.resume(instance_id)
    measures.wait_for_all()
    took = time.perf_counter() - began
    assert client.get_status(instance_id).output == size
    return took
