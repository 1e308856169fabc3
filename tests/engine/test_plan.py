"""What a turn makes true: the order of its events, what goes where, and how it ends (HIS-4, SUB-3, MGT-2)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrations.engine.events import (
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
)
from orchestrations.engine.plan import make_plan, plan_termination
from orchestrations.engine.results import TurnResult
from orchestrations.engine.state import InstanceFacts, Status, fold
from orchestrations.engine.turn import Turn
from tests.builders import T0, HistoryBuilder, Play, activity, body, done, raised, started

PARENT = ParentInstance("P", "parent", "parent-execution", 7, attempt=2)
FACTS = InstanceFacts("i", "f", "e", Status.RUNNING)


def everything(context: Any) -> Any:
    context.call_activity("A")
    context.create_timer(timedelta(seconds=1))
    context.call_sub_orchestrator("C")
    context.send_event("other", "E")
    yield context.wait_for_external_event("X", timedelta(seconds=2))


def test_events_of_a_turn_stand_in_the_order_of_the_original() -> None:
    """HIS-4."""
    play = Play(everything)
    play.start(raised("Early"))
    assert [e.kind for e in play.history] == [
        *("OrchestratorStarted", "ExecutionStarted", "EventRaised"),
        *("TaskScheduled", "TimerCreated", "SubOrchestrationInstanceCreated", "EventSent", "TimerCreated"),
        "OrchestratorCompleted",
    ]
    assert [e.event_id for e in play.history] == [-1, -1, -1, 1, 2, 3, 4, 5, -1]


def test_decisions_go_where_they_belong() -> None:
    play = Play(everything)
    plan = play.start()
    assert [len(part) for part in (plan.activities, plan.timers, plan.children, plan.sends)] == [1, 2, 1, 1]
    assert (plan.status, plan.is_terminal, plan.outcome) == (Status.RUNNING, False, None)


def test_suspended_instance_is_planned_as_such() -> None:
    play = Play(everything)
    result = play.turn.advance([play.begin], T0)
    assert make_plan(FACTS, result, next_execution="n", is_suspended=True).status is Status.SUSPENDED


def test_instance_is_pending_until_it_starts_whatever_it_takes() -> None:
    """INS-7: suspended and resumed before its time it is Pending again, and its history tells the same."""
    facts = replace(FACTS, status=Status.PENDING)
    history: list[HistoryEvent] = []
    found = []
    for message, is_suspended in [
        (ExecutionSuspended(timestamp=T0, reason="wait"), True),
        (ExecutionResumed(timestamp=T0, reason="go on"), False),
        (started(), False),
    ]:
        result = TurnResult(T0, [message], [], None, None, custom_status_changed=False)
        plan = make_plan(facts, result, next_execution="n", is_suspended=is_suspended, has_begun=False)
        history += plan.events
        found.append((plan.status, fold(history).status, fold(history).started_at))
    assert found == [
        (Status.SUSPENDED, Status.SUSPENDED, None),
        (Status.PENDING, Status.PENDING, None),
        (Status.RUNNING, Status.RUNNING, T0),
    ]


def test_instance_that_was_managed_before_its_start_replays() -> None:
    """INS-7."""
    history = HistoryBuilder().turn(activity(1, "A")).events
    frame = [OrchestratorStarted(timestamp=T0), OrchestratorCompleted(timestamp=T0)]
    before = [frame[0], ExecutionSuspended(timestamp=T0), frame[1], frame[0], ExecutionResumed(timestamp=T0), frame[1]]
    turn = Turn(body(lambda context: (yield context.call_activity("A"))))
    turn.replay([*before, *history])
    assert [wait["name"] for wait in turn.waiting()] == ["A"]


@pytest.mark.parametrize("parent", [None, PARENT])
def test_end_is_told_to_the_parent_that_waits(parent: ParentInstance | None) -> None:
    """SUB-3: the outcome carries number and attempt."""
    play = Play(lambda context: "out", parent=parent)
    plan = play.start()
    assert (plan.status, plan.output) == (Status.COMPLETED, '"out"')
    if parent is None:
        assert plan.outcome is None
    else:
        assert isinstance(plan.outcome, SubOrchestrationInstanceCompleted)
        assert (plan.outcome.task_scheduled_id, plan.outcome.attempt, plan.outcome.result) == (7, 2, '"out"')


def test_failure_is_told_to_the_parent_with_its_details() -> None:
    def f(context: Any) -> Any:
        raise LookupError("lost")

    plan = Play(f, parent=PARENT).start()
    assert isinstance(plan.outcome, SubOrchestrationInstanceFailed)
    assert (plan.outcome.reason, plan.outcome.attempt) == ("lost", 2)
    assert plan.outcome.failure_details is not None
    assert plan.outcome.failure_details.error_type == "builtins.LookupError"


def test_continued_execution_keeps_parent_tags_and_name() -> None:
    facts = replace(FACTS, parent=PARENT, tags={"a": "b"}, version="3")
    play = Play(lambda context: context.continue_as_new({"n": 1}))
    plan = make_plan(facts, play.turn.advance([play.begin], T0), next_execution="n2")
    begin = plan.next_messages[0]
    assert getattr(begin, "tags", None) == {"a": "b"}
    assert getattr(begin, "parent", None) == PARENT
    assert plan.outcome is None


@pytest.mark.parametrize("reason", ["enough", None, {"why": "budget"}])
def test_termination_ends_without_code_and_keeps_its_reason(reason: Any) -> None:
    """MGT-2, NDT-7."""
    terminated = ExecutionTerminated(timestamp=T0, input=json.dumps(reason, separators=(",", ":")))
    facts = replace(FACTS, parent=PARENT)
    plan = plan_termination(facts, terminated, [raised("E"), terminated], T0)
    assert [e.kind for e in plan.events] == [
        *("OrchestratorStarted", "EventRaised", "ExecutionTerminated", "ExecutionCompleted", "OrchestratorCompleted"),
    ]
    text = reason if isinstance(reason, str) else terminated.input
    assert (plan.status, plan.output, plan.status_reason) == (Status.TERMINATED, terminated.input, text)
    assert plan.ends_children == text
    assert isinstance(plan.outcome, SubOrchestrationInstanceFailed)
    assert plan.outcome.reason == text


def test_termination_that_spares_the_children_says_so() -> None:
    terminated = ExecutionTerminated(timestamp=T0, input='"x"', recurse=False)
    assert plan_termination(FACTS, terminated, [terminated], T0).ends_children is None


def test_fold_tells_the_same_as_the_plan() -> None:
    """I4: the columns agree with the history."""

    def f(context: Any, value: Any) -> Any:
        return (yield context.call_activity("A", value))

    play = Play(f, 5)
    play.start()
    assert fold(play.history).status is Status.RUNNING
    play.go(done(1, "out"))
    state = fold(play.history)
    assert (state.status, state.output, state.input, state.name) == (Status.COMPLETED, '"out"', "5", "f")
    assert (state.started_at, state.completed_at) == (T0, T0 + timedelta(seconds=1))


def test_fold_of_a_failed_history_has_the_failure() -> None:
    def f(context: Any) -> Any:
        raise LookupError("lost")

    play = Play(f)
    play.start()
    state = fold(play.history)
    assert state.failure is not None
    assert (state.status, state.failure.error_type) == (Status.FAILED, "builtins.LookupError")


def test_fold_of_nothing_is_pending() -> None:
    nothing: list[HistoryEvent] = []
    assert fold(nothing).status is Status.PENDING


def test_end_of_a_failed_instance_names_failure_but_no_result() -> None:
    def f(context: Any) -> Any:
        raise LookupError("lost")

    completed = Play(f).start().events[-2]
    assert isinstance(completed, ExecutionCompleted)
    assert (completed.result, completed.orchestration_status) == (None, "Failed")
