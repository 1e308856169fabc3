"""Statements and commits of a step, counted in this process: what the times are made of."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrations.client.client import DurableClient
from tests import bursts
from tests.benchmarks import measures
from tests.benchmarks.counting import Count, counted
from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Line, Report

pytestmark = [pytest.mark.benchmark]


@pytest.mark.parametrize(
    ("workload", "name", "client_input", "steps", "unit"),
    [
        ("W1 sequence of 3, alone", "sequence", 3, 1, "instance"),
        ("W2 long sequence", "sequence", 100, 100, "step"),
        ("W2 long sequence", "sequence", 1000, 1000, "step"),
        ("W3 fan-out", "fan_out", 100, 100, "activity"),
        ("W3 fan-out", "fan_out", 1000, 1000, "activity"),
    ],
)
def test_counts_of_one_instance(
    workload: str, name: str, client_input: int, steps: int, unit: str, ground: Ground, report: Report
) -> None:
    """One instance from its start to its end."""
    count = _count(name, client_input, 1)
    _report(report, f"{workload}, counts", client_input, count, steps, unit)


@pytest.mark.parametrize("size", [50, 500])
def test_counts_of_many_instances(size: int, ground: Ground, report: Report) -> None:
    """Many instances that are due together; their starts, a commit each, are not counted."""
    count = _count("sequence", 3, size, with_starts=False)
    _report(report, "W1 sequences of 3 without starts, counts", size, count, size, "instance")


def _count(name: str, client_input: Any, instances: int, *, with_starts: bool = True) -> Count:
    client = DurableClient()
    worker = bursts.new_worker()
    bursts.HINTS.clear()
    try:
        client.start_new(name, client_input=3)  # what is asked for once in a process
        bursts.drain(worker)
        if not with_starts:
            measures.start_many(name, client_input, instances)
        with counted() as count:
            if with_starts:
                measures.start_many(name, client_input, instances)
            bursts.drain(worker, seconds=60)
    finally:
        worker.close()
    return count


def _report(report: Report, workload: str, size: int, count: Count, steps: int, unit: str) -> None:
    report.add(Line(workload, size, "in process", count.statements / steps, f"statements/{unit}"))
    report.add(Line(workload, size, "in process", count.commits / steps, f"commits/{unit}"))
