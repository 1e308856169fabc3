"""The commit's order, as orchestrations see it: what goes before what comes, children before messages, outcome last."""

from __future__ import annotations

import logging
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from orchestrations import OrchestrationContext, TaskFailedError, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.conf import conf
from orchestrations.engine.state import Status
from orchestrations.store import clock, looks
from orchestrations.store.looks import Question
from orchestrations.store.models import InboxMessage, Instance
from tests.bursts import burst_once, drain, run, status_of
from tests.store.holding import claim as claim_all
from tests.store.holding import commit, hold, plan, row_of, schedule_of, start, turn

Body = Generator[Any, Any, Any]


@orchestrator
def poll_with_patience(context: OrchestrationContext, rounds: int) -> Body:
    """The timer fires while the burst runs the activity, so its message is visible at the commit that continues."""
    check = context.call_activity("rest", 0.06)
    patience = context.create_timer(timedelta(seconds=0.03))
    yield context.task_any([check, patience])
    if rounds:
        context.continue_as_new(rounds - 1)
    return "done"


@orchestrator
def ask_for_one_id_twice(context: OrchestrationContext, name: str) -> Body:
    tasks = [context.call_sub_orchestrator("name_and_wait", x, instance_id=f"{name}-7") for x in ("a", "b")]
    found = []
    for task in tasks:
        try:
            found.append((yield task))
        except TaskFailedError as error:
            found.append(error.details.error_type)
    return found


@orchestrator
def name_and_wait(context: OrchestrationContext, value: str) -> Body:
    yield context.create_timer(timedelta(seconds=0.05))
    return value


@orchestrator
def share_a_child(context: OrchestrationContext, name: str) -> Body:
    try:
        return (yield context.call_sub_orchestrator("name_and_wait", name, instance_id="shared"))
    except TaskFailedError as error:
        return error.details.error_type


@orchestrator
def wait_for_go(context: OrchestrationContext) -> Body:
    return (yield context.wait_for_external_event("go", timeout=timedelta(seconds=3), default="nothing came"))


@orchestrator
def start_and_tell(context: OrchestrationContext) -> Body:
    child = context.call_sub_orchestrator("wait_for_go", instance_id=f"{context.instance_id}-child")
    context.send_event(f"{context.instance_id}-child", "go", {"n": 1})
    return (yield child)


@orchestrator
def tell_progress(context: OrchestrationContext) -> str:
    for number in range(3):
        context.send_event(context.parent_instance_id or "", "progress", number)
    return "done"


@orchestrator
def hear_progress(context: OrchestrationContext) -> Body:
    child = context.call_sub_orchestrator("tell_progress")
    seen: list[int] = []
    while True:
        progress = context.wait_for_external_event("progress")
        if (yield context.task_any([progress, child])) is child:
            return {"seen": seen, "child": child.result}
        seen.append(progress.result)


@orchestrator
def send_to_nobody(context: OrchestrationContext) -> str:
    context.send_event("nobody-here", "news", 1)
    return "sent"


@orchestrator
def wait_and_count(context: OrchestrationContext, so_far: list[int]) -> Body:
    """Take one event in each execution."""
    number = yield context.wait_for_external_event("number")
    if number < 0:
        return so_far
    context.continue_as_new([*so_far, number])
    return None


@orchestrator
def spin(context: OrchestrationContext, rounds: int) -> None:
    context.continue_as_new(rounds + 1)


# --- what goes before what comes


def test_a_late_message_of_an_ended_execution_is_not_handed_to_the_next_one() -> None:
    status = run("poll_with_patience", 4)
    assert (status.runtime_status, status.output) == (Status.COMPLETED, "done")
    assert not InboxMessage.objects.exists()


def test_a_commit_that_continues_as_new_shows_no_message_of_the_execution_that_it_ends() -> None:
    pk = start("poll_with_patience", 1)
    (first,) = turn("w")
    assert first.held is not None
    held = hold([first.held], [])
    InboxMessage.objects.filter(kind="TimerFired").update(not_before=clock.now())
    held[0].claimed.inbox = looks.look([Question(pk, Status.RUNNING)], clock.now())[pk]
    InboxMessage.objects.filter(kind="TimerFired").update(not_before=clock.now() + timedelta(hours=1))
    (answer,) = commit(plan(held))
    assert [message.kind for message in answer.waiting.messages] == ["ExecutionStarted"]
    assert list(InboxMessage.objects.values_list("kind", flat=True)) == ["ExecutionStarted"]


# --- children before messages


def test_the_second_of_two_tasks_that_ask_for_one_id_fails_and_the_first_gets_its_child() -> None:
    assert run("ask_for_one_id_twice", "twin").output == ["a", "orchestrations.errors.InstanceExistsError"]


def test_of_two_parents_that_ask_for_one_id_in_one_commit_one_gets_the_child_and_the_other_an_error() -> None:
    client = DurableClient()
    ids = [client.start_new("share_a_child", client_input=name) for name in "ab"]
    drain()
    outputs = [client.get_status(i).output for i in ids]
    assert sorted(outputs) in (
        ["a", "orchestrations.errors.InstanceExistsError"],
        ["b", "orchestrations.errors.InstanceExistsError"],
    )


def test_an_event_to_a_child_that_the_same_turn_starts_reaches_it() -> None:
    assert run("start_and_tell").output == {"n": 1}


# --- messages in the order of the code, the outcome last


def test_a_parent_hears_all_that_its_child_has_sent_before_the_childs_end() -> None:
    for _ in range(3):
        assert run("hear_progress").output == {"seen": [0, 1, 2], "child": "done"}


def test_an_event_that_reaches_nobody_is_recorded_and_logged_and_fails_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "orchestrations"):
        status = run("send_to_nobody")
    assert status.output == "sent"
    assert "event.undelivered" in caplog.text
    assert "receiver=nobody-here" in caplog.text


def test_events_are_taken_in_the_order_of_their_arrival_whatever_clock_has_stamped_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two web processes whose clocks differ: the second event is stamped earlier than the first."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "a"])
    drain()
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() - timedelta(seconds=0.5))
    client.raise_event(instance_id, "a", "first")
    monkeypatch.setattr(clock, "now", lambda: real() - timedelta(seconds=2))
    client.raise_event(instance_id, "a", "second")
    monkeypatch.undo()
    drain()
    assert client.get_status(instance_id).output == ["first", "second"]


def test_an_event_that_came_before_a_timeout_counts_although_both_are_found_late() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_or_default", client_input=0.3)
    turn("w", keep=False)
    client.raise_event(instance_id, "go", "in time")
    InboxMessage.objects.filter(kind="TimerFired").update(not_before=clock.now())
    drain()
    assert client.get_status(instance_id).output == "in time"


# --- executions that carry events


def test_carried_events_keep_their_order_before_those_that_wait_behind_them() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_and_count", client_input=[])
    drain()
    client.suspend(instance_id)
    drain()
    count = looks.FIRST_MESSAGES * 3 + 5
    for number in range(count):
        client.raise_event(instance_id, "number", number)
    client.raise_event(instance_id, "number", -1)
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == list(range(count))
    assert not InboxMessage.objects.exists()


def test_an_event_that_an_earlier_turn_has_read_goes_back_to_its_place_when_the_execution_continues() -> None:
    """`later` is read in the first turn and waited for by nobody; `b` arrives behind it."""
    client = DurableClient()
    instance_id = client.start_new("take_then_continue", client_input=0)
    drain()
    client.raise_event(instance_id, "later", 1)
    drain()
    assert not InboxMessage.objects.exists()
    client.suspend(instance_id)
    drain()
    client.raise_event(instance_id, "go")
    client.raise_event(instance_id, "later", 2)
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == [1, 2]


@orchestrator
def take_then_continue(context: OrchestrationContext, generation: int) -> Body:
    if generation == 0:
        yield context.wait_for_external_event("go")
        context.continue_as_new(1)
        return None
    first = yield context.wait_for_external_event("later")
    second = yield context.wait_for_external_event("later")
    return [first, second]


def test_a_new_execution_is_shown_a_few_of_many_carried_events_at_a_time() -> None:
    pk = start("wait_and_count", [])
    turn("w", keep=False)
    client, instance_id = DurableClient(), Instance.objects.get(pk=pk).instance_id
    for number in range(looks.FIRST_MESSAGES * 4):
        client.raise_event(instance_id, "number", number)
    found = claim_all("w").instances
    (answer,) = commit(plan(hold(found)))
    assert answer.held is not None
    plain = [message for message in answer.waiting.messages if message.kind == "EventRaised"]
    assert len(plain) == looks.FIRST_MESSAGES
    (again,) = commit(plan(_hold_on(answer)))
    assert len([m for m in again.waiting.messages if m.kind == "EventRaised"]) == looks.FIRST_MESSAGES


def _hold_on(answer: Any) -> Any:
    held = hold([answer.held])
    held[0].claimed.inbox = answer.waiting
    return held


def test_an_instance_that_continues_in_a_circle_is_not_claimed_before_those_that_wait_longer() -> None:
    circle, other = start("spin", 0), start("plain")
    claimed = []
    for _ in range(4):
        (one,) = claim_all("w", instances=1).instances
        claimed.append(one.row.instance_id)
        commit(plan(hold([one]), keep=False))
    assert claimed == [circle, other, circle, circle]


# --- before the start


def test_what_arrives_before_a_scheduled_start_waits_and_the_instance_stays_pending() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["go"], start_at=clock.now() + timedelta(seconds=1.2))
    client.raise_event(instance_id, "go", "early")
    burst_once()
    assert (status_of(instance_id), schedule_of(instance_id).position) == (Status.PENDING, 0)
    assert row_of(instance_id).started_at is None
    drain(until=lambda: status_of(instance_id) is Status.COMPLETED)
    assert client.get_status(instance_id).output == ["early"]


def test_an_instance_that_is_suspended_and_resumed_before_its_start_is_pending_again() -> None:
    client = DurableClient()
    instance_id = client.start_new("plain", start_at=clock.now() + timedelta(seconds=1.5))
    client.suspend(instance_id)
    drain(until=lambda: status_of(instance_id) is Status.SUSPENDED)
    client.resume(instance_id)
    drain(until=lambda: status_of(instance_id) is Status.PENDING)
    assert row_of(instance_id).started_at is None
    drain(until=lambda: status_of(instance_id) is Status.COMPLETED)
    assert row_of(instance_id).started_at is not None


# --- hubs


def test_activities_of_an_instance_wait_in_its_own_hubs_queue() -> None:
    from orchestrations.store import hubs
    from orchestrations.store.models import ActivityTask

    hubs.ensure("other")
    DurableClient("other").start_new("call", client_input="echo")
    from orchestrations.store import claims
    from orchestrations.store.claims import ClaimLimits

    found = claims.claim("other.default", "w", ClaimLimits(10, 0, 30), clock.now()).instances
    commit(plan(hold(found), share=False, keep=False))
    assert ActivityTask.objects.get().queue == f"other.{conf.QUEUE}"
