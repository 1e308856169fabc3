"""Workers are killed and the queue is flushed while instances of every sample run: nothing is lost or done twice.

`make test` runs these for some seconds, `make chaos` for a minute each, with 300 instances.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrations.authoring.context import body_of
from orchestrations.authoring.registry import ORCHESTRATOR, registry
from orchestrations.client.client import DurableClient
from orchestrations.engine import encoding
from orchestrations.store.models import ActivityTask, InboxMessage, Instance, Schedule
from tests import servers
from tests.histories import count_events, events_of, parts_of, positions_of
from tests.invariants import check_history
from tests.runtime.test_recovery import copy_on_the_test_database
from tests.workers import run_workers, wait_until

IS_FULL = os.environ.get("DURABLE_CHAOS") == "full"
INSTANCES = 300 if IS_FULL else 60
SECONDS = 60.0 if IS_FULL else 8.0
KILL_EVERY = 1.0
STOPS = 20 if IS_FULL else 2
INSTANCES_PER_STOP = 60 if IS_FULL else 30
FLUSH_EVERY = 5.0 if IS_FULL else 1.0
LEASE = {"DURABLE_LEASE_SECONDS": "4", "DURABLE_BEAT_SECONDS": "1"}

pytestmark = pytest.mark.chaos


class Load:
    """Instances of all samples, each with its expected end, started bit by bit while the faults happen."""

    def __init__(self, folder: Path, *, samples_only: bool = False) -> None:
        self.client, self.folder = DurableClient(), folder
        self.tree, self.traces = folder / "tree", folder / "traces"
        self.tree.mkdir()
        for number in range(20):
            (self.tree / f"file{number}").write_text("line\n" * number)
        self.expected: dict[str, object] = {}
        self._kinds = [self._hello, self._tree, self._monitor, self._approval, self._traces]
        if samples_only:
            self._kinds.remove(self._traces)

    def start(self, count: int) -> None:
        """Start so many."""
        for _ in range(count):
            self._kinds[len(self.expected) % len(self._kinds)]()

    def _hello(self) -> None:
        self.expected[self.client.start_new("E1_HelloSequence")] = ["Hello Tokyo!", "Hello Seattle!"]

    def _tree(self) -> None:
        instance_id = self.client.start_new("E2_CountTree", client_input=str(self.tree))
        self.expected[instance_id] = {"files": 20, "lines": sum(range(20)), "bytes": 5 * sum(range(20))}

    def _monitor(self) -> None:
        wanted = {"path": str(self.folder / "signal"), "pause_seconds": 0.2, "expires_after_seconds": 600}
        self.expected[self.client.start_new("E3_Monitor", client_input=wanted)] = {"found": True}

    def _approval(self) -> None:
        instance_id = self.client.start_new("E4_Approval", client_input={"subject": "chaos"})
        self.client.raise_event(instance_id, "Approval", {"outcome": "approved", "by": "Ana"}, event_id="1")
        self.expected[instance_id] = {"outcome": "approved", "by": "Ana"}

    def _traces(self) -> None:
        spec = {"path": str(self.traces), "count": 4}
        self.expected[self.client.start_new("trace_all", client_input=spec)] = 8


def run_load(load: Load, fault: Callable[[], bool], every: float) -> int:
    """Start the load over the time of the faults; return how many faults really happened."""
    began, faults = time.monotonic(), 0
    next_fault = began + every
    while (elapsed := time.monotonic() - began) < SECONDS:
        wanted = min(INSTANCES, int(INSTANCES * elapsed / (SECONDS * 0.8)) + 1)
        load.start(wanted - len(load.expected))
        if time.monotonic() >= next_fault:
            faults += fault()
            next_fault += every
        time.sleep(0.02)
    load.start(INSTANCES - len(load.expected))
    (load.folder / "signal").touch()
    return faults


def check_end(load: Load, said: Callable[[], str]) -> None:
    """All have reached their expected end; each activity has exactly one recorded result; no history has a gap."""
    live = Instance.objects.exclude(status__in=["Completed", "Failed", "Terminated"])
    wait_until(lambda: not live.exists(), 90.0, lambda: _explain(said))
    for instance in Instance.objects.select_related("schedule", "payload"):
        output = json.loads(instance.payload.output or "null")
        expected = load.expected[instance.instance_id]
        if isinstance(expected, dict) and isinstance(output, dict):
            output = {name: output[name] for name in expected}
        assert (instance.status, output) == ("Completed", expected), instance.payload.failure
        parts = parts_of(instance.instance_id).filter(execution=instance.schedule.execution)
        assert positions_of(parts) == list(range(instance.schedule.position))
        events = events_of(parts)
        function = registry.get(ORCHESTRATOR, instance.name)
        assert check_history(events, body_of(function)) == []
        _check_results([encoding.to_members(event) for event in events])
    assert not ActivityTask.objects.exists()
    assert not InboxMessage.objects.exclude(kind="EventRaised").exists()
    assert not Schedule.objects.exclude(due_at=None).exists()
    traces = Counter(load.traces.read_text().split("\n")) if load.traces.exists() else Counter()
    wanted = [i for i, end in load.expected.items() if end == 8]
    assert all(traces[f"{i} {kind}{n}"] >= 1 for i in wanted for kind in "sp" for n in range(4))


def _check_results(history: list[dict[str, object]]) -> None:
    scheduled = sorted(str(m["EventId"]) for m in history if m["EventType"] == "TaskScheduled")
    completed = sorted(str(m["TaskScheduledId"]) for m in history if m["EventType"] == "TaskCompleted")
    assert scheduled == completed


def _explain(said: Callable[[], str]) -> str:
    stuck = Instance.objects.exclude(status="Completed").values_list(
        "instance_id", "name", "status", "schedule__blocked"
    )[:5]
    return f"{list(stuck)}\n{said()}"


def test_killed_workers_lose_and_repeat_nothing(
    transactional_db: None, redis_server: servers.RedisServer, tmp_path: Path
) -> None:
    load = Load(tmp_path)
    with run_workers(2, **LEASE) as workers:
        kills = run_load(load, workers.kill_one, KILL_EVERY)
        check_end(load, workers.said)
    assert kills >= SECONDS / KILL_EVERY * 0.6


def test_a_flushed_queue_loses_nothing(
    transactional_db: None, redis_server: servers.RedisServer, tmp_path: Path
) -> None:
    load = Load(tmp_path)

    def flush() -> bool:
        redis_server.flush()
        return True

    with run_workers(2, **LEASE) as workers:
        flushes = run_load(load, flush, FLUSH_EVERY)
        check_end(load, workers.said)
    assert flushes >= 5


def test_an_interrupted_copy_fails_nothing_and_repeats_no_result(
    transactional_db: None, redis_server: servers.RedisServer, tmp_path: Path
) -> None:
    """Ctrl-C of the whole product under load, again and again, as in every deployment."""
    load = Load(tmp_path, samples_only=True)
    for number in range(STOPS):
        with copy_on_the_test_database(tmp_path) as copy:
            copy.wait_until_welcome(count=number + 1)
            load.start(INSTANCES_PER_STOP)
            time.sleep(0.3 + 1.5 * (number % 5) / 4)
            assert copy.stop(signal.SIGINT) == 0, copy.said()
        assert not Schedule.objects.exclude(losses=0).exists()
        assert count_events("TaskFailed", "ExecutionFailed") == 0
    (tmp_path / "signal").touch()
    with copy_on_the_test_database(tmp_path) as copy:
        check_end(load, copy.said)
        assert copy.stop(signal.SIGINT) == 0
