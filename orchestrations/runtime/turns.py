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
from orchestrations.engine.events import (
    EventRaised,
    HistoryEvent,
    Scheduled,
    TimerCreated,
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
from orchestrations.runtime.arrivals import arrange, read_history
from orchestrations.runtime.parked import MARKS, MISSING_FUNCTION, Parked
from orchestrations.runtime.surroundings import Surroundings, context_of
from orchestrations.store.activities import Result
from orchestrations.store.batch import TurnCommit
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.looks import Message


@dataclass(slots=True)
class Held:
    """An instance in a burst's hands: its lease, its body if there is one, and what it has to take."""

    claimed: ClaimedInstance
    turn: Turn | None = None
    history: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def key(self) -> int:
        """The instance's key."""
        return self.claimed.row.instance_id

    @property
    def messages(self) -> list[Message]:
        """What waits for it and counts by now."""
        return self.claimed.inbox.messages if self.claimed.inbox else []

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


def run_turn(held: Held, now: datetime, refusal: Parked | None = None) -> tuple[TurnCommit, list[Result]]:
    """Run a turn over what the instance has to take: the plan to commit, and results that it cannot take now.

    Management needs no code, so it is obeyed where the rest of the turn cannot be run (NDT-7), or must not be, as
    `refusal` says. What is suspended takes management alone: what has waited is looked at in its order, and taken by
    the next turn. Raises `Parked`; the results are in `held` still. The body that was used is in `held`; it is ahead of
    the history until the plan is committed.
    """
    execution = held.claimed.facts.execution_id
    current = [message for message in held.messages if message.execution in ("", execution)]
    outdated = [message.id for message in held.messages if message.execution not in ("", execution)]
    management = [message for message in current if message.is_control]
    if held.claimed.facts.status is Status.SUSPENDED:
        current = management
    try:
        if refusal is not None:
            raise refusal
        commit, left = _run_turn(held, current, now)
    except Parked:
        if not management:
            raise
        commit, left = _manage_alone(held, management, now)
    commit.consumed += outdated
    return commit, left


def _manage_alone(held: Held, management: Sequence[Message], now: datetime) -> tuple[TurnCommit, list[Result]]:
    held.drop_body()
    results, held.results = held.results, []
    try:
        commit, _ = _run_turn(held, management, now)
    except Parked as parked:
        parked.obeys_management = False
        raise
    finally:
        held.results = results
    return commit, results


def _run_turn(held: Held, messages: Sequence[Message], now: datetime) -> tuple[TurnCommit, list[Result]]:
    arrived = arrange(messages)
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
            context_of(held.turn).run(held.turn.replay, read_history(history))
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
        if intake.needs_body:
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
