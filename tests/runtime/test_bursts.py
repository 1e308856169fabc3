"""What orchestrations come to when bursts run them over the real store."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from orchestrations import activity
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store import clock, leases
from orchestrations.store.models import ActivityTask, HistoryPart, InboxMessage, Instance, Schedule
from tests import servers
from tests.bursts import burst_once, drain, kinds_of, run, status_of
from tests.functions import RELEASES, sequence
from tests.histories import count_events


def test_a_sequence_gives_its_result() -> None:
    status = run("sequence", 5)
    assert (status.runtime_status, status.output) == (Status.COMPLETED, 10)
    assert not ActivityTask.objects.exists()
    assert not InboxMessage.objects.exists()


def test_the_classic_has_the_history_of_durable_functions() -> None:
    status = run("E1_HelloSequence")
    assert status.output == ["Hello Tokyo!", "Hello Seattle!"]
    turn = ["OrchestratorStarted", "TaskCompleted", "TaskScheduled", "OrchestratorCompleted"]
    assert kinds_of(status.instance_id) == [
        *("OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "OrchestratorCompleted"),
        *turn,
        *("OrchestratorStarted", "TaskCompleted", "ExecutionCompleted", "OrchestratorCompleted"),
    ]


def test_a_wide_fan_out_comes_together() -> None:
    status = run("fan_out", 300)
    assert (status.runtime_status, status.output) == (Status.COMPLETED, sum(range(300)))
    completed = count_events("TaskCompleted")
    assert completed == 300


def test_the_fan_out_sample_counts_the_source_tree_as_find_and_wc_do() -> None:
    tree = str(servers.PROJECT / "orchestrations")
    command = f"find '{tree}' -name .git -prune -o -type f -print0 | xargs -0 cat | wc -lc"
    lines, size = map(int, subprocess.check_output(["sh", "-c", command]).split())
    output = run("E2_CountTree", tree).output
    assert (output["lines"], output["bytes"]) == (lines, size)
    assert output["files"] > 100


def test_many_instances_share_bursts() -> None:
    client = DurableClient()
    ids = [client.start_new("sequence", client_input=3) for _ in range(40)]
    drain()
    assert {client.get_status(i).output for i in ids} == {3}


def test_a_timer_never_fires_early() -> None:
    status = run("timer", 0.3)
    assert status.output >= 0.3
    assert "TimerFired" in kinds_of(status.instance_id)


def test_an_event_raised_before_the_wait_is_kept() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "b"])
    client.raise_event(instance_id, "B", 2)
    client.raise_event(instance_id, "a", 1)
    drain()
    assert client.get_status(instance_id).output == [1, 2]


def test_the_same_event_id_counts_once() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "a"])
    assert client.raise_event(instance_id, "a", 1, event_id="x") is True
    drain()
    assert client.raise_event(instance_id, "a", 1, event_id="x") is False
    drain()
    assert status_of(instance_id) is Status.RUNNING


def test_a_wait_times_out_to_its_default() -> None:
    assert run("wait_or_default", 0.1).output == "nobody"


def test_an_event_in_time_withdraws_the_timeout() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_or_default", client_input=600)
    drain()
    client.raise_event(instance_id, "go", "somebody")
    drain()
    assert client.get_status(instance_id).output == "somebody"
    assert not InboxMessage.objects.exists()


def test_children_report_to_their_parent() -> None:
    client = DurableClient()
    instance_id = client.start_new("parent", client_input=["a", "b"])
    drain()
    for child in queries.list_children(client.hub, instance_id):
        client.raise_event(child.instance_id, "a", 1)
        client.raise_event(child.instance_id, "b", 1)
    drain()
    assert client.get_status(instance_id).output == [[1], [1]]


def test_orchestrations_nest_down_to_the_limit_and_fail_below() -> None:
    assert run("nested", 10).output == 10
    status = run("nested", 40)
    assert status.runtime_status is Status.FAILED
    assert status.failure is not None
    assert "depth" in status.failure.message


def test_terminating_a_parent_ends_its_children() -> None:
    client = DurableClient()
    instance_id = client.start_new("parent", client_input=["a", "b"])
    drain()
    client.terminate(instance_id, "enough")
    drain()
    assert client.get_status(instance_id).output == "enough"
    assert {child.status for child in queries.list_children(client.hub, instance_id)} == {Status.TERMINATED}
    assert not Schedule.objects.exclude(due_at=None).exists()


def test_a_terminated_child_fails_its_task() -> None:
    client = DurableClient()
    instance_id = client.start_new("parent", client_input=["a"])
    drain()
    client.terminate(queries.list_children(client.hub, instance_id)[0].instance_id, "go away")
    drain()
    failure = client.get_status(instance_id).failure
    assert failure is not None
    assert "Sub-orchestration task #1 failed: go away" in failure.message


def test_a_suspended_instance_keeps_what_reaches_it_and_goes_on_when_resumed() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"])
    drain()
    assert client.suspend(instance_id, "holiday") is True
    drain()
    assert status_of(instance_id) is Status.SUSPENDED
    assert client.suspend(instance_id) is False
    client.raise_event(instance_id, "a", 7)
    drain()
    assert status_of(instance_id) is Status.SUSPENDED
    assert client.resume(instance_id) is True
    drain()
    assert client.get_status(instance_id).output == [7]


def test_a_pending_instance_can_be_suspended_before_it_has_run() -> None:
    client = DurableClient()
    instance_id = client.start_new("plain")
    client.suspend(instance_id)
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == "done"


def test_a_failed_attempt_is_tried_again_until_it_works(tmp_path: Path) -> None:
    status = run("retry", {"path": str(tmp_path / "tries"), "times": 3, "attempts": 5})
    assert status.output == "at last"
    kinds = kinds_of(status.instance_id)
    assert (kinds.count("TaskFailed"), kinds.count("TimerFired"), kinds.count("TaskCompleted")) == (2, 2, 1)


def test_attempts_run_out(tmp_path: Path) -> None:
    status = run("retry", {"path": str(tmp_path / "tries"), "times": 9, "attempts": 2})
    assert status.runtime_status is Status.FAILED
    assert status.failure is not None
    assert status.failure.error_type == "builtins.ConnectionError"


def test_a_failure_is_caught_by_its_class_and_named_where_it_is_not() -> None:
    assert "card declined" in run("catch").output
    status = run("let_it_fail")
    assert status.failure is not None
    assert (status.runtime_status, status.failure.error_type) == (Status.FAILED, "builtins.ValueError")


def test_continue_as_new_keeps_the_instance_and_drops_its_history() -> None:
    status = run("count_to", {"now": 0, "end": 4})
    assert (status.runtime_status, status.output) == (Status.COMPLETED, 4)
    assert status.input_ == {"now": 4, "end": 4}
    assert HistoryPart.objects.values("execution").distinct().count() == 1


def test_an_outcome_of_an_earlier_execution_is_never_taken_for_one_of_the_present() -> None:
    assert run("leave_one_behind", False).output == "of the second execution"


def test_no_event_is_lost_between_executions() -> None:
    client = DurableClient()
    instance_id = client.start_new("collect", client_input={"found": [], "count": 6})
    for number in range(3):
        client.raise_event(instance_id, "Item", number)
    drain()
    for number in range(3, 6):
        client.raise_event(instance_id, "Item", number)
    drain()
    assert client.get_status(instance_id).output == [0, 1, 2, 3, 4, 5]


def test_an_event_is_sent_to_another_instance_and_dropped_where_there_is_none() -> None:
    client = DurableClient()
    receiver = client.start_new("wait_for", client_input=["go"])
    drain()
    sender = run("send", receiver)
    assert client.get_status(receiver).output == [{"from": sender.instance_id}]
    assert run("send", "nobody").runtime_status is Status.COMPLETED


def test_a_child_id_that_is_alive_fails_the_task_and_an_ended_one_is_replaced() -> None:
    client = DurableClient()
    alive = client.start_new("wait_for", "taken", ["a"])
    drain()
    failure = run("start_as", alive).failure
    assert failure is not None
    assert "already exists" in failure.message
    client.terminate(alive)
    drain()
    assert run("start_as", alive).output == 0


@pytest.mark.parametrize(("name", "expected"), [("return_a_set", "not JSON: set at $"), ("fail", "failed: 1")])
def test_what_an_activity_cannot_return_fails_its_task(name: str, expected: str) -> None:
    failure = run("call", name).failure
    assert failure is not None
    assert expected in failure.message


def test_an_async_activity_runs() -> None:
    assert run("call", "echo_async").output == 1


def test_an_unknown_activity_waits_with_a_mark() -> None:
    client = DurableClient()
    instance_id = client.start_new("call", client_input="nobody_has_it")
    burst_once()
    assert status_of(instance_id) is Status.RUNNING
    assert list(ActivityTask.objects.values_list("blocked", flat=True)) == ["missing-function"]


def test_changed_code_parks_the_instance_and_matching_code_frees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    client = DurableClient()
    instance_id = client.start_new("released", client_input=1)
    drain()
    client.raise_event(instance_id, "a", 1)
    # the body that waits for an event is replaced by one that asks for an activity in the first turn
    monkeypatch.setitem(RELEASES, "released", sequence)
    before = kinds_of(instance_id)
    burst_once()
    found = queries.get_instance(client.hub, instance_id)
    assert found.status is Status.RUNNING
    assert found.blocked is not None
    assert found.blocked.reason == "nondeterminism"
    assert "at sequence number 1 the history holds nothing, but the code asked for activity 'echo'" in (
        found.blocked.message
    )
    assert kinds_of(instance_id) == before
    monkeypatch.undo()
    leases.retry_blocked("other code", clock.now())
    drain()
    assert client.get_status(instance_id).output == [1]
    assert queries.get_instance(client.hub, instance_id).blocked is None


@override_settings(DURABLE_ALLOW_UNREGISTERED_START=True)
def test_a_parked_instance_can_be_terminated_without_its_code() -> None:
    client = DurableClient()
    instance_id = client.start_new("NobodyHasIt")
    burst_once()
    found = queries.get_instance(client.hub, instance_id)
    assert found.blocked is not None
    assert found.blocked.reason == "missing-function"
    client.terminate(instance_id, "no code")
    burst_once()
    assert status_of(instance_id) is Status.TERMINATED


def test_two_workers_at_once_lose_and_repeat_nothing(tmp_path: Path) -> None:
    client = DurableClient()
    path = tmp_path / "traces"
    for _ in range(15):
        client.start_new("trace_all", client_input={"path": str(path), "count": 5})
    failures: list[BaseException] = []

    def work() -> None:
        try:
            drain(until=lambda: not Instance.objects.exclude(status="Completed").exists())
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 15 * 10


@activity
def be_handed_back_while_it_runs(_: Any) -> str:
    """Outlive the slice, so that the supervisor takes from its worker all but this; then something makes it due."""
    schedule = Schedule.objects.select_related("instance").get()
    leases.hand_back(schedule.lease_owner, lambda: set(ActivityTask.objects.values_list("pk", flat=True)))
    DurableClient().raise_event(schedule.instance.instance_id, "whatever")
    time.sleep(0.005)
    return "done"


def test_a_result_in_hand_is_kept_when_its_instance_was_taken_and_is_claimed_again() -> None:
    client = DurableClient()
    instance_id = client.start_new("call", client_input="be_handed_back_while_it_runs")
    with override_settings(DURABLE_CLAIM_SECONDS=0.001):
        drain()
    assert client.get_status(instance_id).output == "done"
