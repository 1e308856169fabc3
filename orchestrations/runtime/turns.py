"""One turn of one instance: live body or replay → engine → plan. No transaction is open and nothing is written."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrations.authoring.context import body_of
from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, registry
from orchestrations.conf import activity_queue, conf
from orchestrations.engine import encoding
from orchestrations.engine.events import HistoryEvent
from orchestrations.engine.intake import Intake, take
from orchestrations.engine.payloads import Limits
from orchestrations.engine.plan import TurnPlan, make_plan, plan_termination
from orchestrations.engine.results import TurnLimits, TurnResult
from orchestrations.engine.turn import Turn
from orchestrations.errors import DurableError, LimitExceededError, NondeterminismError, NotRegisteredError
from orchestrations.store.activities import Result
from orchestrations.store.claims import ClaimedInstance
from orchestrations.store.looks import Letter
from orchestrations.store.turns import TurnCommit

MARKS = {
    "nondeterminism": "nondeterminism",
    "orchestrator.unknown": "missing-function",
    "limit.fan-out": "fan-out-limit",
    "limit.history": "history-limit",
}
"""Error code → mark: what parks an instance instead of ending it (REL-11)."""


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
    letters: list[Letter] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def key(self) -> int:
        """The instance's key."""
        return self.claimed.lease.instance

    @property
    def has_news(self) -> bool:
        """True if there is something to take."""
        return bool(self.letters or self.results)

    def awaits(self, execution: str) -> bool:
        """Tell whether an outcome of that execution is for the present one: numbers begin anew with each (TSK-7)."""
        return self.claimed.facts.execution_id == execution

    def drop_body(self) -> None:
        """Close the body: the next turn replays."""
        if self.turn is not None:
            self.turn.close()
            self.turn = None


def run_turn(held: Held, now: datetime) -> tuple[TurnCommit, list[Result]]:
    """Run a turn over what the instance has to take: the plan to commit, and results that it cannot take now.

    Raises `Parked`. The body that was used is in `held`; it is ahead of the history until the plan is committed.
    """
    facts = held.claimed.facts
    current = [letter for letter in held.letters if letter.execution in ("", facts.execution_id)]
    outdated = [letter.id for letter in held.letters if letter.execution not in ("", facts.execution_id)]
    events: list[HistoryEvent] = [_decode(letter) for letter in current]
    intake = take(facts.status, [*events, *(r.event for r in held.results)])
    split = len(current)
    consumed = outdated + [current[place].id for place in intake.taken if place < split]
    taken = {place - split for place in intake.taken if place >= split}
    if not intake.events:
        return TurnCommit(held.claimed, None, outdated), held.results
    plan = _plan(held, intake, now)
    used = [r for place, r in enumerate(held.results) if place in taken]
    left = [r for place, r in enumerate(held.results) if place not in taken]
    commit = TurnCommit(held.claimed, plan, consumed, used)
    for event in plan.activities:
        function = registry.find(ACTIVITY, event.name)
        commit.queues.append(activity_queue(function.queue if function else None))
    return commit, left


def load_body(held: Held) -> Turn:
    """Return the instance's body, made by replay where there is no live one. Raises `Parked`."""
    if held.turn is None:
        facts = held.claimed.facts
        try:
            function = registry.get(ORCHESTRATOR, facts.name, facts.version)
        except NotRegisteredError as error:
            raise Parked("missing-function", error.message) from None
        held.turn = Turn(body_of(function), turn_limits())
        if held.history:
            held.turn.replay([encoding.decode(text) for text in held.history])
            held.history = []
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
        turn = load_body(held)
        result = turn.advance(intake.events, _not_before(held, now))
        if turn.started is not None and turn.started.parent is not None:
            facts = replace(facts, parent=turn.started.parent)
        waiting = turn.waiting()
    else:  # management alone needs no code
        result = TurnResult(_not_before(held, now), intake.events, [], None, None, custom_status_changed=False)
        waiting = json.loads(held.claimed.waiting)
    plan = make_plan(facts, result, next_execution=uuid.uuid4().hex, is_suspended=intake.is_suspended)
    plan.waiting = waiting
    if intake.reason is not None:
        plan.status_reason = intake.reason
    return plan


def _not_before(held: Held, now: datetime) -> datetime:
    """Time never goes back for an instance, whichever worker turns it (TIM-1)."""
    return max(now, held.claimed.turned_at or now)


def _check_history(held: Held, plan: TurnPlan) -> None:
    size, limit = held.claimed.history_length + len(plan.events), conf.HISTORY_EVENTS
    if size > limit and not plan.is_terminal and plan.next_execution is None:
        advice = "Raise the limit, terminate the instance, or deploy code that continues as new."
        text = f"The number of history events is {size}, the limit is {limit}. {advice}"
        raise LimitExceededError(text, code="limit.history", size=size, limit=limit)


def _code(error: DurableError) -> str:
    return error.code


def _decode(letter: Letter) -> HistoryEvent:
    try:
        return encoding.decode(letter.body)
    except (ValueError, KeyError, TypeError) as error:
        raise Parked("payload", f"A message cannot be read ({type(error).__name__}: {error}).") from error
