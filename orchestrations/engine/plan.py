"""Plan: what one turn of one instance makes true, as values that the store writes in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrations.engine import payloads
from orchestrations.engine.events import (
    ChildOutcome,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
    TimerCreated,
)
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.results import Completion, Continuation, TurnResult
from orchestrations.engine.state import InstanceFacts, Status


@dataclass(slots=True)
class TurnPlan:
    """What the store makes true. `outcome` goes to the parent; `next_messages` begin the next execution.

    `leaves_open`: an execution that ends may leave timers and outcomes of tasks that had not settled.
    """

    now: datetime
    status: Status
    events: list[HistoryEvent]
    activities: list[TaskScheduled] = field(default_factory=list)
    timers: list[TimerCreated] = field(default_factory=list)
    children: list[SubOrchestrationInstanceCreated] = field(default_factory=list)
    sends: list[EventSent] = field(default_factory=list)
    withdrawn_timers: list[int] = field(default_factory=list)
    outcome: ChildOutcome | None = None
    output: str | None = None
    failure: FailureDetails | None = None
    custom_status: str | None = None
    custom_status_changed: bool = False
    waiting: list[dict[str, Any]] = field(default_factory=list)
    status_reason: str | None = None
    ends_children: str | None = None
    next_execution: str | None = None
    next_version: str | None = None
    next_messages: list[HistoryEvent] = field(default_factory=list)
    leaves_open: bool = True

    @property
    def is_terminal(self) -> bool:
        """True if the instance has ended with this turn."""
        return self.status.is_terminal


def make_plan(
    facts: InstanceFacts,
    result: TurnResult,
    *,
    next_execution: str,
    is_suspended: bool = False,
    has_begun: bool = True,
) -> TurnPlan:
    """Return what a turn's result makes true. `next_execution` is the id to use if it continues as new.

    Until it has begun an instance is Pending, whatever it takes (INS-7).
    """
    completion = result.completion
    events: list[HistoryEvent] = [OrchestratorStarted(timestamp=result.now), *result.received, *result.scheduled]
    if completion is not None and completion.continuation is None:
        events.append(_completed_event(completion, result.now))
    events.append(OrchestratorCompleted(timestamp=result.now))
    plan = TurnPlan(
        now=result.now,
        status=_live_status(result.received, is_suspended=is_suspended, has_begun=has_begun),
        events=events,
        withdrawn_timers=result.withdrawn_timers,
        custom_status=result.custom_status,
        custom_status_changed=result.custom_status_changed,
        leaves_open=result.open_tasks > 0,
    )
    for event in result.scheduled:
        _DESTINATIONS[type(event)](plan).append(event)
    if completion is not None:
        _complete(plan, facts, completion, result, next_execution)
    return plan


def plan_termination(
    facts: InstanceFacts, termination: ExecutionTerminated, received: Sequence[HistoryEvent], now: datetime
) -> TurnPlan:
    """Return the plan that ends an instance without running its code; its live descendants follow (MGT-2)."""
    reason = payloads.load(termination.input)
    text = reason if isinstance(reason, str) else payloads.dump(reason)
    completed = ExecutionCompleted(timestamp=now, orchestration_status=Status.TERMINATED, result=termination.input)
    frame = (OrchestratorStarted(timestamp=now), OrchestratorCompleted(timestamp=now))
    failure = FailureDetails("Terminated", text)
    return TurnPlan(
        now=now,
        status=Status.TERMINATED,
        events=[frame[0], *received, completed, frame[1]],
        output=termination.input,
        outcome=_failed_outcome(facts, failure, now),
        status_reason=text,
        ends_children=text if termination.recurse is not False else None,
    )


def _live_status(received: Sequence[HistoryEvent], *, is_suspended: bool, has_begun: bool) -> Status:
    if is_suspended:
        return Status.SUSPENDED
    begins = has_begun or any(isinstance(event, ExecutionStarted) for event in received)
    return Status.RUNNING if begins else Status.PENDING


def _complete(
    plan: TurnPlan, facts: InstanceFacts, completion: Completion, result: TurnResult, next_execution: str
) -> None:
    if completion.continuation is not None:
        plan.next_execution = next_execution
        plan.next_version = completion.continuation.new_version or facts.version
        plan.next_messages = _next_messages(facts, plan, completion.continuation, result.unprocessed)
        return
    plan.status, plan.output, plan.failure = completion.status, completion.result, completion.failure
    if completion.failure is not None:
        plan.outcome = _failed_outcome(facts, completion.failure, plan.now)
    elif facts.parent is not None:
        plan.outcome = SubOrchestrationInstanceCompleted(
            timestamp=plan.now,
            task_scheduled_id=facts.parent.task_schedule_id,
            result=completion.result,
            attempt=facts.parent.attempt,
        )


def _next_messages(
    facts: InstanceFacts, plan: TurnPlan, continuation: Continuation, unprocessed: list[EventRaised]
) -> list[HistoryEvent]:
    assert plan.next_execution is not None
    started = ExecutionStarted(
        timestamp=plan.now,
        name=facts.name,
        instance_id=facts.instance_id,
        execution_id=plan.next_execution,
        version=plan.next_version,
        input=continuation.input,
        parent=facts.parent,
        tags=facts.tags or None,
        custom_status=plan.custom_status,
    )
    return [started, *unprocessed]


def _completed_event(completion: Completion, now: datetime) -> ExecutionCompleted:
    return ExecutionCompleted(
        timestamp=now,
        orchestration_status=completion.status,
        result=completion.result,
        failure_details=completion.failure,
        failed_tasks=completion.failed_tasks,
    )


def _failed_outcome(facts: InstanceFacts, failure: FailureDetails, now: datetime) -> ChildOutcome | None:
    if facts.parent is None:
        return None
    return SubOrchestrationInstanceFailed(
        timestamp=now,
        task_scheduled_id=facts.parent.task_schedule_id,
        reason=failure.message,
        failure_details=failure,
        attempt=facts.parent.attempt,
    )


_DESTINATIONS: dict[type[HistoryEvent], Any] = {
    TaskScheduled: lambda plan: plan.activities,
    TimerCreated: lambda plan: plan.timers,
    SubOrchestrationInstanceCreated: lambda plan: plan.children,
    EventSent: lambda plan: plan.sends,
}
