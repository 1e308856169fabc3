"""Which of the waiting messages a turn takes, given suspension and termination, which need no code (MGT-1, MGT-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrations.engine.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from orchestrations.engine.state import Status


@dataclass(slots=True)
class Intake:
    """`taken` are the messages' places, `events` what the turn applies in order; `needs_body` says if code must run."""

    taken: list[int] = field(default_factory=list)
    events: list[HistoryEvent] = field(default_factory=list)
    termination: ExecutionTerminated | None = None
    is_suspended: bool = False
    reason: str | None = None
    needs_body: bool = False


def take(status: Status, messages: Sequence[HistoryEvent], *, has_begun: bool = True) -> Intake:
    """Choose from `messages`, in order of arrival. While suspended, all but management stays where it is; so does what
    arrives before the start (INS-7).

    A termination takes everything; of the rest only the start and external events stay visible (EVT-7).
    """
    termination = next((m for m in messages if isinstance(m, ExecutionTerminated)), None)
    if termination is not None:
        visible: list[HistoryEvent] = [m for m in messages if isinstance(m, ExecutionStarted)]
        visible += [m for m in messages if isinstance(m, EventRaised)]
        return Intake(list(range(len(messages))), [*visible, termination], termination)
    intake = Intake(is_suspended=status is Status.SUSPENDED)
    held: list[int] = []
    is_startable = has_begun or any(isinstance(m, ExecutionStarted) for m in messages)
    # an execution's start comes before all that reached it, whatever the order in which the rows were read
    order = sorted(range(len(messages)), key=lambda i: not isinstance(messages[i], ExecutionStarted))
    for place in order:
        message = messages[place]
        if isinstance(message, ExecutionSuspended | ExecutionResumed):
            intake.is_suspended = isinstance(message, ExecutionSuspended)
            intake.reason = message.reason or ""
            _apply(intake, messages, [place])
            if not intake.is_suspended and is_startable:
                _apply(intake, messages, held)
                held = []
        elif intake.is_suspended or not is_startable:
            held.append(place)
        else:
            _apply(intake, messages, [place])
    return intake


def _apply(intake: Intake, messages: Sequence[HistoryEvent], places: list[int]) -> None:
    for place in places:
        intake.taken.append(place)
        intake.events.append(messages[place])
        if not isinstance(messages[place], ExecutionSuspended | ExecutionResumed):
            intake.needs_body = True
