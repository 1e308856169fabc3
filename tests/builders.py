"""Histories and turns in few words: `HistoryBuilder` writes a history, `Play` drives an orchestrator through turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrations.authoring.context import body_of
from orchestrations.authoring.registry import ORCHESTRATOR, Function
from orchestrations.engine.encoding import decode, encode
from orchestrations.engine.events import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.payloads import dump
from orchestrations.engine.plan import TurnPlan, make_plan
from orchestrations.engine.results import TurnLimits
from orchestrations.engine.state import InstanceFacts, Status
from orchestrations.engine.turn import Turn

T0 = datetime(2026, 3, 1, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOTHING: Any = object()


def text_of(value: Any) -> str | None:
    """Return the value as JSON text; `NOTHING` is absent."""
    return None if value is NOTHING else dump(value)


def activity(number: int, name: str, input_: Any = NOTHING, *, attempt: int | None = None) -> TaskScheduled:
    """An activity is asked for."""
    return TaskScheduled(timestamp=T0, event_id=number, name=name, input=text_of(input_), attempt=attempt)


def done(number: int, result: Any = None, *, attempt: int | None = None) -> TaskCompleted:
    """An activity has ended well."""
    return TaskCompleted(timestamp=T0, task_scheduled_id=number, result=dump(result), attempt=attempt)


def failed(number: int, error: Exception | FailureDetails | str = "boom", *, attempt: int | None = None) -> TaskFailed:
    """An activity has failed; a text is the message of a ValueError."""
    details = failure(error)
    return TaskFailed(
        timestamp=T0, task_scheduled_id=number, reason=details.message, failure_details=details, attempt=attempt
    )


def failure(error: Exception | FailureDetails | str) -> FailureDetails:
    """Return the details of an exception; a text is the message of a ValueError."""
    if isinstance(error, FailureDetails):
        return error
    return FailureDetails.from_exception(ValueError(error) if isinstance(error, str) else error)


def child(number: int, name: str, instance_id: str, *, is_named: bool = False) -> SubOrchestrationInstanceCreated:
    """A sub-orchestration is asked for."""
    named = True if is_named else None
    return SubOrchestrationInstanceCreated(
        timestamp=T0, event_id=number, name=name, instance_id=instance_id, is_named=named
    )


def child_done(number: int, result: Any = None, *, attempt: int | None = None) -> SubOrchestrationInstanceCompleted:
    """A sub-orchestration has ended well."""
    return SubOrchestrationInstanceCompleted(
        timestamp=T0, task_scheduled_id=number, result=dump(result), attempt=attempt
    )


def child_failed(
    number: int, error: Exception | FailureDetails | str = "boom", *, attempt: int | None = None
) -> SubOrchestrationInstanceFailed:
    """A sub-orchestration has failed."""
    details = failure(error)
    return SubOrchestrationInstanceFailed(
        timestamp=T0, task_scheduled_id=number, reason=details.message, failure_details=details, attempt=attempt
    )


def timer(number: int, seconds: float, *, attempt: int | None = None, origin: str = "timer") -> TimerCreated:
    """A timer is asked for, to fire so many seconds after T0."""
    fire_at = T0 + timedelta(seconds=seconds)
    return TimerCreated(timestamp=T0, event_id=number, fire_at=fire_at, attempt=attempt, origin=origin)


def fired(number: int, seconds: float = 0, *, attempt: int | None = None) -> TimerFired:
    """A timer has fired that was to do so so many seconds after T0."""
    return TimerFired(timestamp=T0, timer_id=number, fire_at=T0 + timedelta(seconds=seconds), attempt=attempt)


def raised(name: str, payload: Any = NOTHING) -> EventRaised:
    """An external event arrives."""
    return EventRaised(timestamp=T0, name=name, input=text_of(payload))


def ended(result: Any = None, status: Status = Status.COMPLETED) -> ExecutionCompleted:
    """The execution ends."""
    return ExecutionCompleted(timestamp=T0, orchestration_status=status, result=dump(result))


def started(
    name: str = "f",
    input_: Any = NOTHING,
    *,
    instance_id: str = "i",
    execution_id: str = "e",
    parent: ParentInstance | None = None,
    version: str | None = None,
) -> ExecutionStarted:
    """An execution begins."""
    return ExecutionStarted(
        timestamp=T0,
        name=name,
        instance_id=instance_id,
        execution_id=execution_id,
        input=text_of(input_),
        parent=parent,
        version=version,
    )


class HistoryBuilder:
    """Writes a history, its turns a second apart: `HistoryBuilder("f").turn(activity(1, "A")).turn(done(1)).events`."""

    def __init__(self, name: str = "f", input_: Any = NOTHING) -> None:
        self.events: list[HistoryEvent] = []
        self._pending: list[HistoryEvent] = [started(name, input_)]
        self._now = T0

    def turn(self, *events: HistoryEvent) -> HistoryBuilder:
        """Add a turn with these events in its frame; the first one begins the execution."""
        inner = [replace(event, timestamp=self._now) for event in (*self._pending, *events)]
        self.events += [OrchestratorStarted(timestamp=self._now), *inner, OrchestratorCompleted(timestamp=self._now)]
        self._pending = []
        self._now += SECOND
        return self


def body(function: Callable[..., Any]) -> Callable[[Execution], Any]:
    """Return what a `Turn` calls, for an orchestrator that takes `(context)` or `(context, input)`."""
    return body_of(Function(ORCHESTRATOR, function.__name__, function, function.__code__.co_argcount))


class Play:
    """Drives an orchestrator turn by turn: one live body, or (`is_live=False`) a new one replayed for every turn.

    The history goes through JSON between turns, as it does in the store.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        input_: Any = NOTHING,
        *,
        is_live: bool = True,
        limits: TurnLimits | None = None,
        parent: ParentInstance | None = None,
        version: str | None = None,
    ) -> None:
        self.body = body(function)
        self.facts = InstanceFacts("i", function.__name__, "e", Status.RUNNING, version=version, parent=parent)
        self.history: list[HistoryEvent] = []
        self.plans: list[TurnPlan] = []
        self.now = T0
        self._is_live, self._limits = is_live, limits
        self.turn = Turn(self.body, limits)
        self.begin = started(function.__name__, input_, parent=parent, version=version)

    def start(self, *messages: HistoryEvent) -> TurnPlan:
        """Run the first turn, over the start and perhaps more."""
        return self.go(self.begin, *messages, after=0)

    def go(self, *messages: HistoryEvent, after: float = 1) -> TurnPlan:
        """Run a turn over these messages, so many seconds after the last one; return its plan."""
        self.now += timedelta(seconds=after)
        if not self._is_live:
            self.turn = self.replayed()
        stamped = [replace(message, timestamp=self.now) for message in messages]
        plan = make_plan(self.facts, self.turn.advance(stamped, self.now), next_execution="next")
        self.history += [decode(encode(event)) for event in plan.events]
        self.plans.append(plan)
        return plan

    def replayed(self) -> Turn:
        """Return a new turn that has replayed the history so far."""
        turn = Turn(self.body, self._limits)
        turn.replay(self.history)
        return turn

    @property
    def last(self) -> TurnPlan:
        """The plan of the last turn."""
        return self.plans[-1]

    @property
    def asked(self) -> list[str]:
        """What the last turn has asked for, in words: `activity 1 A`, `timer 2`, `child 3 C`, `event 4 E`."""
        return [_word(event) for event in self.last.events if event.event_id > 0]

    @property
    def output(self) -> Any:
        """The result, decoded; the play must have completed."""
        assert self.last.status is Status.COMPLETED, self.last.failure or self.turn.waiting()
        return json.loads(self.last.output or "null")


def run(function: Callable[..., Any], *messages: HistoryEvent, input_: Any = NOTHING) -> Play:
    """Start an orchestrator and give it the messages, one for each turn."""
    play = Play(function, input_)
    play.start()
    for message in messages:
        play.go(message)
    return play


def chunks(items: Sequence[HistoryEvent], sizes: Iterable[int]) -> list[list[HistoryEvent]]:
    """Cut the items into pieces of the given sizes; the last piece takes the rest."""
    rest, pieces = list(items), []
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return [piece for piece in [*pieces, rest] if piece]


def _word(event: HistoryEvent) -> str:
    kinds = {"TaskScheduled": "activity", "TimerCreated": "timer", "EventSent": "event"}
    name = getattr(event, "name", "")
    return f"{kinds.get(event.kind, 'child')} {event.event_id} {name}".strip()
