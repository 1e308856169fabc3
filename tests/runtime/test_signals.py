"""Real workers are asked to stop, killed, stopped and left without a supervisor while they run user code.

A stop is nobody's failure; a passed deadline is a time-out; what was lost says how.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime.watch import State, Watch
from orchestrations.store.models import ActivityTask, Instance, Schedule, Supervisor, Worker
from tests import servers
from tests.histories import count_events
from tests.project.test_watch import is_alive
from tests.runtime.test_recovery import is_over
from tests.workers import Workers, is_stopped, run_workers, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]  # live bodies or replay make no difference to them

FAST = {"DURABLE_BEAT_SECONDS": "0.5"}


def start(name: str, client_input: Any = None) -> str:
    return DurableClient().start_new(name, client_input=client_input)


def wait_for_end(instance_id: str, workers: Workers, seconds: float = 20.0) -> Any:
    wait_until(lambda: is_over(instance_id), seconds, lambda: workers.log.read_text(errors="replace"))
    return DurableClient().get_status(instance_id)


def wait_for_lines(path: Path, count: int) -> None:
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= count, 15.0)


def losses() -> list[int]:
    return [
        *Schedule.objects.values_list("losses", flat=True),
        *ActivityTask.objects.values_list("losses", flat=True),
    ]


def test_a_signal_to_a_worker_in_an_activity_lets_it_finish(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        instance_id = start("trace_call", {"path": str(tmp_path / "traces"), "line": "a", "seconds": 2.0})
        wait_for_lines(tmp_path / "traces", 1)
        pid = workers.pids()[0]
        os.kill(pid, signal.SIGTERM)
        status = wait_for_end(instance_id, workers)
        wait_until(lambda: not is_alive(pid), 5.0)
    assert (status.runtime_status, status.output) == (Status.COMPLETED, pid)
    assert (tmp_path / "traces").read_text().splitlines() == ["a"]


def test_a_signal_to_a_worker_in_an_orchestrator_lets_the_turn_finish(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        instance_id = start("busy_turn", {"path": str(tmp_path / "traces"), "seconds": 2.0})
        wait_for_lines(tmp_path / "traces", 1)
        os.kill(workers.pids()[0], signal.SIGINT)
        status = wait_for_end(instance_id, workers)
    assert (status.runtime_status, status.output) == (Status.COMPLETED, 2), status.failure
    assert losses() == [0]


def test_a_second_signal_ends_a_worker_at_once_and_its_work_runs_again(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        instance_id = start("trace_call", {"path": str(tmp_path / "traces"), "line": "a", "seconds": 3.0})
        wait_for_lines(tmp_path / "traces", 1)
        pid = workers.pids()[0]
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), 1.0)
        status = wait_for_end(instance_id, workers)
        assert "exit code 143" in workers.log.read_text()
    assert status.runtime_status is Status.COMPLETED
    assert (tmp_path / "traces").read_text().splitlines() == ["a", "a"]


def test_what_takes_longer_than_the_grace_goes_back_unharmed(tmp_path: Path) -> None:
    """A restart of the supervisor, as in a deployment, with an activity of half a minute."""
    spec = {"path": str(tmp_path / "traces"), "line": "a", "seconds": 30.0}
    with run_workers(1, **FAST, DURABLE_STOP_SECONDS="0.5"):
        instance_id = start("trace_call", spec)
        wait_for_lines(tmp_path / "traces", 1)
        began = time.monotonic()
    assert time.monotonic() - began < 8.0
    row = ActivityTask.objects.get()
    assert (row.lease_owner, row.losses) == ("", 0)
    assert Instance.objects.get(instance_id=instance_id).status == "Running"
    assert count_events("TaskFailed") == 0
    assert not Worker.objects.exists()


def test_a_stop_between_load_and_commit_loses_nothing(tmp_path: Path) -> None:
    """The signal comes while the worker stands before its commit; it commits, gives back the rest, and ends."""
    path = tmp_path / "traces"
    with run_workers(1, **FAST, DURABLE_FAULTS="before-commit:2:stop=1.5") as workers:
        instance_id = start("trace_all", {"path": str(path), "count": 3})
        wait_for_lines(path, 1)
        wait_until(lambda: is_stopped(workers.pids()[0]), 10.0)
        os.kill(workers.pids()[0], signal.SIGTERM)
        status = wait_for_end(instance_id, workers)
    assert status.output == 6
    assert len(path.read_text().splitlines()) == 6
    assert losses() == [0]


def test_an_activity_past_its_deadline_is_recorded_as_timed_out_once(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        status = wait_for_end(start("catch_the_timeout", 30), workers)
        assert Schedule.objects.filter(losses=0).count() == 1
    assert status.output == [
        "orchestrations.errors.ActivityTimeoutError",
        "Activity 'outlast_the_deadline' did not end within 0.6 s.",
        False,
    ]
    assert count_events("TaskFailed") == 1


def test_a_deadline_is_enforced_while_neither_database_nor_queue_answers(
    redis_server: servers.RedisServer, tmp_path: Path
) -> None:
    spec = {"name": "outlast_three_seconds", "path": str(tmp_path / "traces"), "line": "a"}
    with run_workers(1, **FAST) as workers:
        instance_id = start("call_with", spec)
        wait_for_lines(tmp_path / "traces", 1)
        pid = workers.pids()[0]
        began = time.monotonic()
        assert redis_server.process is not None
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            with transaction.atomic():
                # whoever writes about leases or workers waits for this
                Schedule.objects.select_for_update().get()
                list(Worker.objects.select_for_update())
                list(ActivityTask.objects.select_for_update())
                wait_until(lambda: not is_alive(pid), 4.5)
                assert time.monotonic() - began < 4.5
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        status = wait_for_end(instance_id, workers)
    assert "did not end within 3 s" in status.failure.message
    assert count_events("TaskFailed") == 1


def test_a_time_out_is_caught_by_its_class_and_by_the_builtin_one() -> None:
    with run_workers(1, **FAST) as workers:
        status = wait_for_end(start("catch_the_timeout_by_class", 30), workers, 30.0)
    assert len(status.output) == 2
    assert all("Activity 'outlast_the_deadline' did not end within 0.6 s." in text for text in status.output)


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("exit", "builtins.SystemExit", "4"),
        ("interrupt", "builtins.KeyboardInterrupt", "now"),
        ("hard", "tests.functions.HardStop", "limit reached"),
    ],
)
def test_a_base_exception_of_an_orchestrator_fails_it_once_and_costs_no_worker(how: str, kind: str, text: str) -> None:
    with run_workers(1, **FAST) as workers:
        pids = workers.pids()
        status = wait_for_end(start("stop_in_the_body", how), workers)
        assert (status.failure.error_type, status.failure.message) == (kind, text)
        assert wait_for_end(start("sequence", 2), workers).output == 1
        assert workers.pids() == pids


def test_a_time_out_is_retriable(tmp_path: Path) -> None:
    spec = {"path": str(tmp_path / "traces"), "line": "a"}
    with run_workers(1, **FAST) as workers:
        status = wait_for_end(start("retry_after_timeout", spec), workers, 30.0)
    assert status.output == "second time"


def test_the_neighbours_of_a_timed_out_activity_lose_nothing(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        slow = start("catch_the_timeout", 30)
        others = [start("sequence", 3) for _ in range(10)]
        assert [wait_for_end(i, workers).output for i in others] == [3] * 10
        assert wait_for_end(slow, workers).runtime_status is Status.COMPLETED
        assert set(losses()) == {0}


def test_an_endless_turn_is_lost_and_parked_and_its_mark_says_why() -> None:
    with run_workers(1, **FAST, DURABLE_TURN_SECONDS="0.5", DURABLE_LOST_TURNS="2") as workers:
        instance_id = start("endless_turn")
        wait_until(lambda: Schedule.objects.get().blocked == "lost-turns", 30.0, lambda: workers.log.read_text())
        row = Instance.objects.get(instance_id=instance_id)
        assert row.status == "Running"
        assert "a turn did not end within 0.5 s" in Schedule.objects.get().blocked_detail
        DurableClient().terminate(instance_id, "enough")
        assert wait_for_end(instance_id, workers).runtime_status is Status.TERMINATED


@pytest.mark.parametrize(("name", "how"), [("crash", "killed by SIGSEGV"), ("leave_quietly", "exit code 0")])
def test_an_activity_that_ends_its_worker_fails_in_the_end_and_says_how(name: str, how: str) -> None:
    with run_workers(1, **FAST, DURABLE_LOST_ATTEMPTS="2") as workers:
        status = wait_for_end(start("call", name), workers, 30.0)
        assert how in workers.said()
    assert status.runtime_status is Status.FAILED
    assert how in status.failure.message
    assert f"it had begun activity {name}" in status.failure.message


def test_a_coroutine_that_blocks_its_loop_is_timed_out_with_its_worker(tmp_path: Path) -> None:
    spec = {"name": "block_the_loop", "path": str(tmp_path / "traces"), "line": "a"}
    with run_workers(1, **FAST) as workers:
        status = wait_for_end(start("call_with", spec), workers, 20.0)
    assert "did not end within 0.5 s" in status.failure.message
    assert (tmp_path / "traces").read_text().splitlines() == ["a"]


def test_a_coroutine_keeps_its_lease_beyond_its_length_while_the_worker_does_other_things(tmp_path: Path) -> None:
    spec = {"name": "trace_and_nap", "path": str(tmp_path / "traces"), "line": "a", "pause": 4.0}
    with run_workers(2, **FAST, DURABLE_LEASE_SECONDS="1.5") as workers:
        long = start("call_with", spec)
        wait_for_lines(tmp_path / "traces", 1)
        assert wait_for_end(start("sequence", 3), workers, 2.0).output == 3
        assert wait_for_end(long, workers).runtime_status is Status.COMPLETED
    assert (tmp_path / "traces").read_text().splitlines() == ["a"]


def test_a_signal_lets_coroutines_finish(tmp_path: Path) -> None:
    spec = {"name": "trace_and_nap", "path": str(tmp_path / "traces"), "line": "a", "pause": 2.0}
    with run_workers(1, **FAST) as workers:
        instance_id = start("call_with", spec)
        wait_for_lines(tmp_path / "traces", 1)
        pid = workers.pids()[0]
        os.kill(pid, signal.SIGTERM)
        assert wait_for_end(instance_id, workers).output == pid
    assert (tmp_path / "traces").read_text().splitlines() == ["a"]


def test_a_base_exception_of_an_activity_fails_it_once_and_replaces_the_worker(tmp_path: Path) -> None:
    with run_workers(1, **FAST) as workers:
        first = workers.pids()
        status = wait_for_end(start("trace_and_stop", {"path": str(tmp_path / "traces"), "line": "a"}), workers)
        wait_until(lambda: bool(workers.pids()) and workers.pids() != first, 15.0)
    assert status.runtime_status is Status.FAILED
    assert "limit reached" in status.failure.message
    assert (tmp_path / "traces").read_text().splitlines() == ["a"]


def test_a_worker_started_while_its_supervisor_dies_does_not_outlive_it() -> None:
    """The death signal is bound before the worker's program begins, to the supervisor and not to whoever is parent."""
    for pause in (0.0, 0.1, 0.3):
        with run_workers(1, **FAST) as workers:
            old = workers.pids()[0]
            os.kill(old, signal.SIGKILL)
            fresh = _wait_for_child(workers.process.pid, other_than=old)
            time.sleep(pause)
            os.kill(workers.process.pid, signal.SIGKILL)
            wait_until(lambda pid=fresh: not is_alive(pid), 2.0)  # type: ignore[misc]
            workers.was_killed = True
        Worker.objects.all().delete()


def _wait_for_child(parent: int, other_than: int) -> int:
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        found = {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()} - {other_than}
        if found:
            return found.pop()
        time.sleep(0.002)
    raise AssertionError("no new worker was started")


def test_a_worker_that_hangs_in_our_own_code_loses_its_leases() -> None:
    """It stops before its commit for far longer than its lease; its supervisor lives, and does not renew them."""
    lease = {**FAST, "DURABLE_LEASE_SECONDS": "2"}
    with run_workers(1, **lease, DURABLE_FAULTS="before-commit:1:stop=60") as hung:
        pid = hung.pids()[0]
        instance_id = start("sequence", 3)
        wait_until(lambda: is_stopped(pid), 10.0)
        with run_workers(1, **lease) as workers:
            assert wait_for_end(instance_id, workers, 6.0).output == 3
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: "turn.dropped" in hung.log.read_text(), 5.0)


def test_supervisor_and_workers_come_back_after_their_rows_are_gone() -> None:
    """As after an outage that was longer than others remember them."""
    with run_workers(2, **FAST) as workers:
        known = set(Worker.objects.values_list("pk", flat=True))
        Worker.objects.all().delete()
        Supervisor.objects.all().delete()
        wait_until(lambda: set(Worker.objects.values_list("pk", flat=True)) == known, 5.0)
        wait_until(lambda: Supervisor.objects.exclude(swept_at=None).count() == 1, 5.0)
        workers.kill_one()
        wait_until(lambda: Worker.objects.exclude(pk__in=known).count() == 1, 15.0)


def test_two_supervisors_do_not_forget_each_other() -> None:
    with run_workers(1, **FAST), run_workers(1, **FAST):
        wait_until(lambda: Worker.objects.count() == 2, 10.0)
        time.sleep(1.5)
        assert (Worker.objects.count(), Supervisor.objects.count()) == (2, 2)


def test_a_reading_in_the_middle_of_a_write_is_no_answer(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "w")
    watch.enter(State.WORKING)
    watch.begin(7, 60.0)
    main = watch.read().main
    assert main is not None
    assert (main.activity, main.instance) == (7, None)
    assert 59.0 < main.deadline - main.began < 61.0
    watch._numbers[4] += 1  # as while the worker writes the place
    assert watch.read().main is None
    watch._numbers[4] += 1
    watch.end()
    assert watch.read().running == ()
    watch.close()


def test_an_activity_that_waits_for_what_only_its_own_worker_could_run_is_told_so() -> None:
    with run_workers(1, **FAST) as workers:
        failure = wait_for_end(start("call", "wait_for_another"), workers, 5.0).failure
        assert failure.error_type == "orchestrations.errors.DeadlockError"
        assert "Activity 'wait_for_another' would wait for instance" in failure.message
        assert wait_for_end(start("call", "wait_for_another_in_a_thread"), workers, 8.0).output == "done"
    with run_workers(2, **FAST) as workers:
        assert wait_for_end(start("call", "wait_for_another"), workers, 8.0).output == "done"
