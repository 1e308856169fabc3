"""One turn of one instance: live body or replay → engine → plan. No transaction is open and nothing is written."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrations import telemetry
from orchestrations.authoring.context import body_of
from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, registry
from orchestrations.conf import conf, queue_name
from orchestrations.engine import encoding
from orchestrations.engine.events import (
    EventRaised,
    ExecutionTerminated,
    HistoryEvent,
    Scheduled,
    TimerCreated,
    TimerFired,
)
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.intake import Intake, take
from orchestrations.engine.payloads import Limits
from orchestrations.engine.plan import TurnPlan, make_plan, plan_termination
from orchestrations.engine.results import Completion, TurnLimits, TurnResult
from orchestrations.engine.state import Status
from orchestrations.engine.turn import Turn
from orchestrations.errors import (
    DurableError,
    LeftoverError,
    LimitExceededError,
    NondeterminismError,
    NotRegisteredError,
)
from orchestrations.runtime.surroundings import Surroundings, context_of
from orchestrations.store.activities import Result
from orchestrations.store.batch import TurnCommit
from orchestrations.store.claims import ClaimedInstance
from orchestrations.store.looks import Message

MISSING_FUNCTION = "missing-function"
MARKS = {
    "nondeterminism": "nondeterminism",
    "orchestrator.unknown": MISSING_FUNCTION,
    "limit.fan-out": "fan-out-limit",
    "limit.history": "history-limit",
}
"""Error code → mark: what parks an instance instead of ending it (REL-11)."""


TERMINATION = ExecutionTerminated.__name__


class Parked(Exception):
    """The instance cannot move now: it is to be marked with `reason`; nothing of the turn is written."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(slots=True)
class Held:
    """An instance in a burst's hands: its lease, its body if there is one, and what it has to take."""

    claimed: ClaimedInstance
    turn: Turn | None = None
    history: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def key(self) -> int:
        """The instance's key."""
        return self.claimed.row.instance_id

    @property
    def has_news(self) -> bool:
        """True if there is something to take."""
        return bool(self.results) or any(message.counts(self.claimed.facts.status) for message in self.messages)

    def awaits(self, execution: str) -> bool:
        """Tell whether an outcome of that execution is for the present one: numbers begin anew with each (TSK-7)."""
        return self.claimed.facts.execution_id == execution

    def drop_body(self) -> None:
        """Close the body: the next turn replays."""
        if self.turn is not None:
            turn, self.turn = self.turn, None
            self.surroundings.close_body(turn)


def run_turn(held: Held, now: datetime) -> tuple[TurnCommit, list[Result]]:
    """Run a turn over what the instance has to take: the plan to commit, and results that it cannot take now.

    Management needs no code, so it is obeyed where the rest of the turn cannot be run (NDT-7). Raises `Parked`. The
    body that was used is in `held`; it is ahead of the history until the plan is committed.
    """
    execution = held.claimed.facts.execution_id
    current = [message for message in held.messages if message.execution in ("", execution)]
    outdated = [message.id for message in held.messages if message.execution not in ("", execution)]
    try:
        commit, left = _run_turn(held, current, now)
    except Parked:
        management = [message for message in current if message.is_control]
        if not management:
            raise
        held.drop_body()
        results, held.results = held.results, []
        commit, _ = _run_turn(held, management, now)
        left = results
    commit.consumed += outdated
    return commit, left


def _run_turn(held: Held, messages: Sequence[Message], now: datetime) -> tuple[TurnCommit, list[Result]]:
    arrived = _arrange(messages)
    events: list[HistoryEvent] = [event for _, event in arrived]
    begun = held.claimed.has_begun
    intake = take(held.claimed.facts.status, [*events, *(r.event for r in held.results)], has_begun=begun)
    split = len(arrived)
    consumed = [arrived[place][0].id for place in intake.taken if place < split]
    if intake.termination is not None:
        consumed = [message.id for message in messages]  # also those that cannot be read
    if not intake.events:
        return TurnCommit(held.claimed, None, ran_code=False), held.results
    plan = _plan(held, intake, now)
    ran_code = intake.needs_body or held.turn is not None
    taken = {place - split for place in intake.taken if place >= split}
    used = [r for place, r in enumerate(held.results) if place in taken]
    left = [r for place, r in enumerate(held.results) if place not in taken]
    commit = TurnCommit(held.claimed, plan, _leave_carried(plan, consumed), used, ran_code=ran_code)
    for event in plan.activities:
        function = registry.find(ACTIVITY, event.name)
        commit.queues.append(queue_name(held.claimed.hub, function.queue if function else None))
    return commit, left


def _arrange(messages: Sequence[Message]) -> list[tuple[Message, HistoryEvent]]:
    """Decode the messages and put them in order of arrival: by key, but timers by their instants among the others.

    Raises `Parked` for one that cannot be read, unless a termination is among them, which does not need it (NDT-7).
    """
    is_ending = any(message.kind == TERMINATION for message in messages)
    plain: list[tuple[Message, HistoryEvent]] = []
    timers: list[tuple[Message, HistoryEvent]] = []
    for message in messages:
        try:
            event = _decode(message)
        except Parked:
            if is_ending:
                continue
            raise
        (timers if isinstance(event, TimerFired) else plain).append((message, event))
    if not timers:
        return plain
    timers.sort(key=lambda pair: (pair[1].timestamp, pair[0].id), reverse=True)
    found: list[tuple[Message, HistoryEvent]] = []
    for message, event in plain:
        while timers and timers[-1][1].timestamp < event.timestamp:
            found.append(timers.pop())
        found.append((message, event))
    return found + timers[::-1]


def _leave_carried(plan: TurnPlan, consumed: list[int]) -> list[int]:
    """Return which messages are consumed: events of this turn that the next execution takes stay where they are."""
    if plan.next_execution is None:
        return consumed
    here = set(consumed)
    staying = {e.message_id for e in plan.next_messages if isinstance(e, EventRaised) and e.message_id in here}
    plan.next_messages = [e for e in plan.next_messages if not (isinstance(e, EventRaised) and e.message_id in staying)]
    return [key for key in consumed if key not in staying]


def load_body(held: Held) -> Turn:
    """Return the instance's body, made by replay where there is no live one. Raises `Parked`."""
    if held.turn is None:
        facts = held.claimed.facts
        try:
            function = registry.get(ORCHESTRATOR, facts.name, facts.version)
        except NotRegisteredError as error:
            raise Parked(MISSING_FUNCTION, error.message) from None
        held.turn = Turn(body_of(function), turn_limits())
        if held.history:
            history, held.history = held.history, []
            context_of(held.turn).run(held.turn.replay, _read_history(history))
    return held.turn


def turn_limits() -> TurnLimits:
    """Return the limits as the settings have them."""
    limits = Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH)
    return TurnLimits(limits, conf.CUSTOM_STATUS_BYTES, conf.FAN_OUT, conf.DEFAULT_VERSION or None)


def _plan(held: Held, intake: Intake, now: datetime) -> TurnPlan:
    facts = held.claimed.facts
    if intake.termination is not None:
        held.drop_body()
        received: Sequence[HistoryEvent] = intake.events
        return plan_termination(facts, intake.termination, received, _not_before(held, now))
    try:
        plan = _advance(held, intake, now)
        _check_history(held, plan)
    except (NondeterminismError, LimitExceededError) as error:
        held.drop_body()
        raise Parked(MARKS[_code(error)], error.message) from error
    return plan


def _advance(held: Held, intake: Intake, now: datetime) -> TurnPlan:
    facts = held.claimed.facts
    if intake.needs_body or held.turn is not None:
        try:
            turn = load_body(held)
            result = context_of(turn).run(turn.advance, intake.events, _not_before(held, now))
        finally:
            leftovers = held.surroundings.restore()
        if leftovers:
            result = _fail(held, result, leftovers)
        if turn.started is not None and turn.started.parent is not None:
            facts = replace(facts, parent=turn.started.parent)
        waiting = turn.waiting() if held.turn is not None else []
    else:  # management alone needs no code
        result = TurnResult(_not_before(held, now), intake.events, [], None, None, custom_status_changed=False)
        waiting = json.loads(held.claimed.row.waiting)
    plan = make_plan(
        facts,
        result,
        next_execution=uuid.uuid4().hex,
        is_suspended=intake.is_suspended,
        has_begun=held.claimed.has_begun,
    )
    plan.waiting = waiting
    if intake.reason is not None:
        plan.status_reason = intake.reason
    return plan


def _fail(held: Held, result: TurnResult, leftovers: list[str]) -> TurnResult:
    """Return the turn's result with a failure as its end: the code would harm what runs after it on this worker."""
    name = held.claimed.facts.name
    telemetry.report(telemetry.LEFT_BEHIND, level=logging.WARNING, orchestrator=name, what="; ".join(leftovers))
    held.drop_body()
    failure = FailureDetails.from_exception(LeftoverError(f"Orchestrator '{name}'", leftovers))
    scheduled: list[Scheduled] = [event for event in result.scheduled if not isinstance(event, TimerCreated)]
    return replace(result, completion=Completion(Status.FAILED, failure=failure), scheduled=scheduled)


def _not_before(held: Held, now: datetime) -> datetime:
    """Time never goes back for an instance, whichever worker turns it (TIM-1)."""
    return max(now, held.claimed.row.turned_at or now)


def _check_history(held: Held, plan: TurnPlan) -> None:
    size, limit = held.claimed.row.position + len(plan.events), conf.HISTORY_EVENTS
    if size > limit and not plan.is_terminal and plan.next_execution is None:
        advice = "Raise the limit, terminate the instance, or deploy code that continues as new."
        text = f"The number of history events is {size}, the limit is {limit}. {advice}"
        raise LimitExceededError(text, code="limit.history", size=size, limit=limit)


def _code(error: DurableError) -> str:
    return error.code


def _decode(message: Message) -> HistoryEvent:
    try:
        event = encoding.decode(message.body)
    except (ValueError, KeyError, TypeError) as error:
        raise Parked("payload", f"A message cannot be read ({type(error).__name__}: {error}).") from error
    return replace(event, message_id=message.id) if isinstance(event, EventRaised) else event


def _read_history(texts: Sequence[str]) -> list[HistoryEvent]:
    try:
        return [encoding.decode(text) for text in texts]
    except (ValueError, KeyError, TypeError) as error:
        advice = "Deploy a version that knows what was written, or terminate the instance."
        raise Parked("payload", f"The history cannot be read ({type(error).__name__}: {error}). {advice}") from error
