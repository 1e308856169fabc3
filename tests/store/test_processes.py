"""Rows of supervisors and workers: they come with a beat, and go with their process or when nobody has seen it long."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from orchestrations.store import clock, processes
from orchestrations.store.models import Supervisor, Worker, WorkerCode
from orchestrations.store.processes import Home, Process


def beat(supervisor: str, workers: list[str], now: datetime, starting: tuple[str, ...] = ()) -> None:
    home = Home(supervisor, "main.default", "code")
    rows = [Process(worker, 1, now) for worker in workers]
    processes.beat("host", Process(supervisor, 1, now), rows, starting, home, now)


def known() -> list[str]:
    return sorted(Worker.objects.values_list("pk", flat=True))


def test_a_beat_forgets_its_ended_workers_but_nobody_elses_nor_one_that_starts() -> None:
    now = clock.now()
    beat("a", ["a1", "a2", "a3"], now)
    beat("b", ["b1"], now)
    beat("a", ["a1"], now + timedelta(seconds=1), starting=("a3",))
    assert known() == ["a1", "a3", "b1"]


def test_a_supervisor_that_ends_takes_its_workers_along() -> None:
    beat("a", ["a1"], clock.now())
    beat("b", ["b1"], clock.now())
    processes.remove_supervisor("a")
    assert known() == ["b1"]
    assert list(Supervisor.objects.values_list("pk", flat=True)) == ["b"]


@pytest.mark.parametrize(("age", "is_kept"), [(timedelta(hours=23), True), (timedelta(hours=25), False)])
def test_who_was_not_seen_for_a_day_is_forgotten_with_code_that_nobody_runs(age: timedelta, is_kept: bool) -> None:
    now = clock.now()
    processes.register_code("code", {"activity": ["x"]}, now - age)
    beat("a", ["a1"], now - age)
    processes.prune(now)
    counts = Supervisor.objects.count(), Worker.objects.count(), WorkerCode.objects.count()
    assert counts == ((1, 1, 1) if is_kept else (0, 0, 0))
