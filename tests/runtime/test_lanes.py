"""Activities that wait run beside everything else of their worker: coroutines in one loop, others in threads."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import override_settings

from orchestrations import activity
from orchestrations.client.client import DurableClient
from orchestrations.engine.events import TaskCompleted, TaskFailed
from orchestrations.engine.payloads import Limits
from orchestrations.engine.state import Status
from orchestrations.runtime import outcomes
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import clock, leases
from orchestrations.store.claimed import ClaimedActivity
from orchestrations.store.models import ActivityTask, TaskHub
from tests.bursts import burst_once, drain, new_worker, run, status_of
from tests.histories import count_events

LEFT: list[str] = []


@activity
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@activity(timeout=0.3)
async def oversleep(_: Any) -> None:
    await asyncio.sleep(30)


@activity(timeout=0.3)
async def oversleep_stubbornly(_: Any) -> str:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        return "who cares"
    return "never"


@activity
async def leave_a_task_behind(_: Any) -> int:
    async def go_on() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            LEFT.append("cancelled")
            raise

    task = asyncio.ensure_future(go_on())
    await asyncio.sleep(0)
    return task.done()


@activity
async def cancel_a_task(_: Any) -> None:
    task = asyncio.ensure_future(asyncio.sleep(30))
    await asyncio.sleep(0)
    task.cancel()
    await task


@activity
async def exit_in_a_task(_: Any) -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.ensure_future(leave())


@activity(thread=True)
def wait_in_a_thread(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@activity(thread=True, timeout=0.3)
def overstay(_: Any) -> None:
    time.sleep(3)


@activity(thread=True)
def leave_a_transaction_in_a_thread(_: Any) -> int:
    transaction.atomic().__enter__()
    TaskHub.objects.create(name="leftover")
    return 1


def _break(*_: Any, **__: Any) -> Any:
    raise OperationalError("the database is away, or the code is wrong")


@pytest.fixture
def worker() -> Iterator[WorkerState]:
    found = new_worker()
    yield found
    found.close()


def start(name: str) -> str:
    return DurableClient().start_new("call", client_input=name)


@pytest.mark.parametrize(("name", "many"), [("nap", 20), ("wait_in_a_thread", 8)])
def test_those_that_wait_overlap(worker: WorkerState, name: str, many: int) -> None:
    began = time.monotonic()
    started = [DurableClient().start_new("call", client_input=name) for _ in range(many)]
    drain(worker)
    assert time.monotonic() - began < 4.0  # each waits for a second
    assert {status_of(i) for i in started} == {Status.COMPLETED}
    assert not ActivityTask.objects.exists()


@override_settings(DURABLE_ASYNC_ACTIVITIES=2, DURABLE_THREADS=2)
@pytest.mark.parametrize("name", ["nap", "wait_in_a_thread"])
def test_no_more_run_at_once_than_the_setting_says_and_the_others_follow(name: str) -> None:
    worker = new_worker()
    began = time.monotonic()
    started = [start(name) for _ in range(4)]
    drain(worker)
    assert 2.0 <= time.monotonic() - began < 8.0
    assert {status_of(i) for i in started} == {Status.COMPLETED}
    worker.close()


@override_settings(DURABLE_THREADS=0)
def test_without_threads_it_runs_as_any_other() -> None:
    assert run("call", "wait_in_a_thread").output == 1


def test_a_timer_and_other_work_go_on_beside_long_ones(worker: WorkerState) -> None:
    long = [start("nap"), start("wait_in_a_thread")]
    drain(worker, until=lambda: count_events("TaskScheduled") == 2)
    began = time.monotonic()
    quick = DurableClient().start_new("timer", client_input=0.2)
    drain(worker, until=lambda: status_of(quick) is Status.COMPLETED)
    assert time.monotonic() - began < 0.9
    drain(worker)
    assert {status_of(i) for i in long} == {Status.COMPLETED}


@pytest.mark.parametrize("name", ["oversleep", "oversleep_stubbornly", "overstay"])
def test_what_passes_its_deadline_is_recorded_as_timed_out(worker: WorkerState, name: str) -> None:
    instance_id = start(name)
    drain(worker, until=worker.lanes.is_busy)
    worker.lanes.drain()
    burst_once()
    failure = DurableClient().get_status(instance_id).failure
    assert failure is not None
    assert failure.error_type == "orchestrations.errors.ActivityTimeoutError"
    assert f"Activity '{name}' did not end within 0.3 s." in failure.message
    assert worker.is_spoilt is (name == "overstay")  # a thread cannot be ended, a process can


@pytest.mark.parametrize("name", ["nap", "oversleep", "wait_in_a_thread"])
def test_an_end_is_recorded_however_long_ago_the_database_was_asked_for_the_time(
    worker: WorkerState, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an event loop nothing may be asked, and where the database is away nothing can be."""
    instance_id = start(name)
    drain(worker, until=worker.lanes.is_busy)
    monkeypatch.setattr(clock, "MEASURE_EVERY_SECONDS", -1.0)
    worker.lanes.drain(seconds=10.0)
    drain(worker)
    assert status_of(instance_id) is (Status.FAILED if name == "oversleep" else Status.COMPLETED)
    assert worker.is_spoilt is False


def test_an_outcome_is_made_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.now()
    monkeypatch.setattr(clock, "MEASURE_EVERY_SECONDS", -1.0)
    held = ClaimedActivity(1, 1, 1, "e", 1, 1, "nap", None, "main.default", 0)
    with connection.execute_wrapper(_break):
        assert isinstance(outcomes.completed(held, 1, Limits()), TaskCompleted)
        assert isinstance(outcomes.timed_out(held, 1.0), TaskFailed)


def test_who_exits_in_a_task_ends_neither_the_loop_nor_its_neighbours(worker: WorkerState) -> None:
    others = [start("nap") for _ in range(3)]
    drain(worker, until=lambda: count_events("TaskScheduled") == 3)
    exits = start("exit_in_a_task")
    drain(worker, until=lambda: worker.is_spoilt)
    worker.lanes.drain(seconds=10.0)
    drain()
    assert {status_of(i) for i in others} == {Status.COMPLETED}
    failure = DurableClient().get_status(exits).failure
    assert failure is not None
    assert failure.error_type == "builtins.SystemExit"


def test_a_fault_of_the_lanes_themselves_replaces_the_worker_and_the_activity_runs_again(
    worker: WorkerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, function in {"nap": "completed", "wait_in_a_thread": "completed", "oversleep": "timed_out"}.items():
        own = new_worker()
        instance_id = start(name)
        with monkeypatch.context() as patch:
            patch.setattr(outcomes, function, _break)
            drain(own, until=own.lanes.is_busy)
            own.lanes.drain(seconds=10.0)
        assert own.is_spoilt
        assert not own.lanes.is_busy()
        leases.lose(own.owner, None, None, clock.now())  # as its supervisor will
        drain(worker)
        assert status_of(instance_id) in (Status.COMPLETED, Status.FAILED)
        own.close()


def test_a_cancelled_task_is_an_ordinary_failure(worker: WorkerState) -> None:
    instance_id = start("cancel_a_task")
    drain(worker)
    failure = DurableClient().get_status(instance_id).failure
    assert failure is not None
    assert failure.error_type == "asyncio.exceptions.CancelledError"
    assert worker.is_spoilt is False


def test_no_task_outlives_the_activity_that_made_it(worker: WorkerState) -> None:
    LEFT.clear()
    instance_id = start("leave_a_task_behind")
    drain(worker)
    assert status_of(instance_id) is Status.COMPLETED
    assert LEFT == ["cancelled"]


def test_a_transaction_that_is_left_open_in_a_thread_fails_it(worker: WorkerState) -> None:
    instance_id = start("leave_a_transaction_in_a_thread")
    drain(worker)
    failure = DurableClient().get_status(instance_id).failure
    assert failure is not None
    assert failure.error_type == "orchestrations.errors.LeftoverError"
    assert not TaskHub.objects.filter(name="leftover").exists()


def test_a_burst_that_gives_up_keeps_what_runs_in_lanes(worker: WorkerState) -> None:
    instance_id = start("nap")
    drain(worker, until=worker.lanes.is_busy)

    Burst(worker, "main.default").give_up()
    assert ActivityTask.objects.get().lease_owner == worker.owner
    burst_once()
    drain(worker)
    assert status_of(instance_id) is Status.COMPLETED
