"""W3, W4 and W7: activities at once, events, starts."""

from __future__ import annotations

import statistics
import time

import pytest

from orchestrations import EventRequest, StartRequest
from orchestrations.client.client import DurableClient
from tests.benchmarks import measures
from tests.benchmarks.ground import BULK, CREATE, EMPTY_JOB, RAW_COMMIT, Ground, repeat
from tests.benchmarks.report import Goal, Line, Report
from tests.servers import database_kind
from tests.workers import run_workers

WORKERS = pytest.mark.parametrize("workers", [1, 2])
BATCHES = pytest.mark.parametrize("batch", [1, 100])

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]


@WORKERS
@pytest.mark.parametrize("size", [1000, 10_000])
def test_w3_fan_out(size: int, workers: int, ground: Ground, report: Report) -> None:
    """One instance of many activities at once."""

    def measure() -> float:
        ids = measures.start_many("fan_out", size, 1)
        measures.wait_for_all()
        measures.check(ids, sum(range(size)), size)
        return size / measures.seconds_of(ids)

    with run_workers(workers):
        measures.warm_up()
        rate = repeat(ground, measure, jobs=True)
    goal = Goal(least=10) if database_kind() == "postgres" and workers == 1 else None
    report.add(Line("W3 fan-out", size, workers, rate, "activities/s", EMPTY_JOB, ground.rate(EMPTY_JOB), goal))
    report.add(Line("W3 fan-out", size, workers, rate, "activities/s", BULK, ground.rate(BULK), Goal(least=1 / 3)))


@WORKERS
@pytest.mark.parametrize("size", [30, 300])
def test_w4_event_latency(size: int, workers: int, ground: Ground, report: Report) -> None:
    """From an event to the end of the instance that waits for it, with so many waiting."""
    client = DurableClient()
    found = []
    with run_workers(workers):
        measures.warm_up()
        ids = measures.start_many("wait_for", ["Go"], size)
        measures.wait_for_bodies(size)
        ground.sample()
        for instance_id in ids[:30]:
            time.sleep(0.02)
            began = time.perf_counter()
            client.raise_event(instance_id, "Go", 1)
            measures.watch(instance_id)
            found.append((time.perf_counter() - began) * 1000)
        ground.sample()
        for instance_id in ids[30:]:
            client.raise_event(instance_id, "Go", 1)
        measures.wait_for_all()
    measures.check(ids, [1], 0)
    base = ground.milliseconds(RAW_COMMIT)
    report.add(Line("W4 event latency p50", size, workers, statistics.median(found), "ms", RAW_COMMIT, base))


@WORKERS
@BATCHES
@pytest.mark.parametrize("size", [100, 1000])
def test_w4_many_events(size: int, batch: int, workers: int, ground: Ground, report: Report) -> None:
    """So many events to one instance, one by one or in batches, until it has ended."""
    client = DurableClient()

    def measure() -> float:
        ids = measures.start_many("wait_for", ["Item"] * size, 1)
        measures.wait_for_bodies(1)
        began = time.perf_counter()
        for start in range(0, size, batch):
            numbers = range(start, start + batch)
            client.raise_events([EventRequest(ids[0], "Item", number) for number in numbers])
        measures.watch(ids[0])
        rate = size / (time.perf_counter() - began)
        measures.check(ids, list(range(size)), 0)
        return rate

    with run_workers(workers):
        measures.warm_up()
        rate = repeat(ground, measure)
    name = f"W4 events to one instance{measures.batches_of(batch)}"
    report.add(Line(name, size, workers, rate, "events/s", CREATE, ground.rate(CREATE)))


@WORKERS
@BATCHES
@pytest.mark.parametrize("size", [100, 1000])
def test_w7_starts(size: int, batch: int, workers: int, ground: Ground, report: Report) -> None:
    """Starts one by one or in batches, by one client, while workers run what was started."""
    client = DurableClient()

    def measure() -> float:
        began = time.perf_counter()
        parts = [client.start_many([StartRequest("plain")] * batch) for _ in range(0, size, batch)]
        rate = size / (time.perf_counter() - began)
        measures.wait_for_all()
        measures.check([one for part in parts for one in part], "done", 0)
        return rate

    with run_workers(workers):
        measures.warm_up()
        rate = repeat(ground, measure)
    report.add(
        Line(f"W7 starts{measures.batches_of(batch)}", size, workers, rate, "starts/s", CREATE, ground.rate(CREATE))
    )
