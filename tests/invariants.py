"""What must hold of every history, whoever wrote it: for the simulation, the chaos tests and anybody with a database.

Pure functions over (events of one execution, body). Each returns sentences that say what is wrong; none raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from orchestrations.engine.encoding import encode
from orchestrations.engine.events import (
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
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.results import TurnResult
from orchestrations.engine.state import Status, fold
from orchestrations.engine.turn import Turn
from orchestrations.errors import DurableError

BodyFactory = Callable[[Execution], Any]
Key = tuple[str, int, int]
FULL_REPLAYS = 40
"""Histories of at most so many turns are replayed from every prefix; longer ones from some."""

_SCHEDULED = (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated, EventSent)


def check_history(events: Sequence[HistoryEvent], body: BodyFactory | None = None) -> list[str]:
    """Return what is wrong with the history of one execution; with its body also whether it replays."""
    found = [*_check_frames(events), *_check_outcomes(events), *_check_end(events)]
    if body is not None and not found:
        found += _check_replay(events, body)
    return found


def check_sequence(numbers: Sequence[int]) -> list[str]:
    """Return what is wrong with the rows' sequence numbers, which must be 0, 1, 2 … (I2)."""
    gap = next((place for place, number in enumerate(numbers) if place != number), None)
    return [] if gap is None else [f"row {gap} of the history has the sequence number {numbers[gap]}"]


def check_stored(
    events: Sequence[HistoryEvent], status: str, output: str | None = None, failure_message: str | None = None
) -> list[str]:
    """Return where an instance's columns differ from what its history tells (I4)."""
    state, found = fold(events), []
    if state.status.value != status:
        found.append(f"the history tells {state.status.value}, the instance {status}")
    if state.status.is_terminal and state.output != output:
        found.append(f"the history ends with the output {state.output}, the instance with {output}")
    message = state.failure.message if state.failure else None
    if state.status is Status.FAILED and message != failure_message:
        found.append(f"the history ends with the failure {message!r}, the instance with {failure_message!r}")
    return found


def split_turns(events: Sequence[HistoryEvent]) -> Iterator[list[HistoryEvent]]:
    """Yield the events of each turn, its frame included."""
    turn: list[HistoryEvent] = []
    for event in events:
        turn.append(event)
        if isinstance(event, OrchestratorCompleted):
            yield turn
            turn = []
    if turn:
        yield turn


def _check_frames(events: Sequence[HistoryEvent]) -> Iterator[str]:
    is_open = False
    now = None
    for place, event in enumerate(events):
        if isinstance(event, OrchestratorStarted):
            if is_open:
                yield f"event {place} begins a turn within a turn"
            if now is not None and event.timestamp < now:
                yield f"event {place} begins a turn before the one that precedes it"
            is_open, now = True, event.timestamp
        elif not is_open:
            yield f"event {place} ({event.kind}) stands outside of a turn"
        elif isinstance(event, OrchestratorCompleted):
            is_open = False
        elif isinstance(event, TimerFired) and now is not None and now < event.fire_at:
            yield f"event {place}: timer {event.timer_id} fired {event.fire_at - now} early"
    starts = sum(isinstance(e, ExecutionStarted) for e in events)
    if starts > 1:
        yield f"the execution starts {starts} times"
    if is_open:
        yield "the last turn has no end"


def _check_outcomes(events: Sequence[HistoryEvent]) -> Iterator[str]:
    """Every outcome refers to one scheduled event before it, and no two to the same."""
    scheduled: Counter[Key] = Counter()
    settled: Counter[Key] = Counter()
    for place, event in enumerate(events):
        if isinstance(event, _SCHEDULED):
            key = _scheduled_key(event)
            scheduled[key] += 1
            if scheduled[key] > 1:
                yield f"event {place}: {key} is scheduled twice"
        elif (outcome := _outcome_key(event)) is not None:
            settled[outcome] += 1
            if not scheduled[outcome]:
                yield f"event {place} ({event.kind}): nothing is scheduled as {outcome}"
            if settled[outcome] > 1:
                yield f"event {place} ({event.kind}): {outcome} settles twice"


def _scheduled_key(event: HistoryEvent) -> Key:
    attempt = getattr(event, "attempt", None) or 1
    if isinstance(event, TaskScheduled):
        return "activity", event.event_id, attempt
    if isinstance(event, SubOrchestrationInstanceCreated):
        return "sub-orchestration", event.event_id, attempt
    return ("timer" if isinstance(event, TimerCreated) else "send"), event.event_id, attempt


def _outcome_key(event: HistoryEvent) -> Key | None:
    if isinstance(event, TaskCompleted | TaskFailed):
        return "activity", event.task_scheduled_id, event.attempt or 1
    if isinstance(event, SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed):
        return "sub-orchestration", event.task_scheduled_id, event.attempt or 1
    return ("timer", event.timer_id, event.attempt or 1) if isinstance(event, TimerFired) else None


def _check_end(events: Sequence[HistoryEvent]) -> Iterator[str]:
    ends = [place for place, event in enumerate(events) if isinstance(event, ExecutionCompleted)]
    if len(ends) > 1:
        yield f"the execution ends {len(ends)} times"
    elif ends and [type(e) for e in events[ends[0] + 1 :]] not in ([OrchestratorCompleted], []):
        yield f"event {ends[0]} ends the execution, but {len(events) - ends[0] - 2} events follow its turn"


def _check_replay(events: Sequence[HistoryEvent], body: BodyFactory) -> Iterator[str]:
    """Every prefix replays, and asks for exactly what the history holds next."""
    turns = list(split_turns(events))
    live = Turn(body)
    prefix: list[HistoryEvent] = []
    every = max(1, len(turns) // FULL_REPLAYS)
    for number, turn in enumerate(turns):
        yield from _check_turn(live, turn, f"turn {number}, live")
        if number % every == 0:
            replayed = Turn(body)
            problems = _replay(replayed, prefix, f"the first {number} turns")
            yield from problems or _check_turn(replayed, turn, f"turn {number}, replayed")
            replayed.close()
        prefix += turn
    if live.completion is not None and live.completion.continuation is not None:
        events = events[: -len(turns[-1])]  # the turn that continues as new is dropped with its history
    if len(events) <= FULL_REPLAYS:
        for length in range(len(events) + 1):
            yield from _replay(part := Turn(body), events[:length], f"the first {length} events")
            part.close()
    whole = Turn(body)
    yield from _replay(whole, events, "the whole history") or _check_completion(whole, events)
    live.close()
    whole.close()


def _replay(turn: Turn, events: Sequence[HistoryEvent], what: str) -> list[str]:
    try:
        turn.replay(events)
    except DurableError as error:
        return [f"{what} cannot be replayed: {error.message}"]
    return []


def _check_turn(turn: Turn, events: Sequence[HistoryEvent], what: str) -> list[str]:
    """Apply what the turn received, and compare what the body asks for with what the history holds."""
    if any(isinstance(e, ExecutionTerminated) for e in events):
        return []
    start, *rest = events
    asked = [e for e in rest if isinstance(e, _SCHEDULED)]
    frame = (ExecutionCompleted, OrchestratorCompleted, *_SCHEDULED)
    received = [e for e in rest if not isinstance(e, frame)]
    try:
        result = turn.advance(received, start.timestamp)
    except DurableError as error:
        return [f"{what}: {error.message}"]
    found = []
    if _texts(result.scheduled) != _texts(asked):
        found.append(f"{what}: the body asks for {_texts(result.scheduled)}, the history holds {_texts(asked)}")
    if len(result.received) != len(received):
        found.append(f"{what}: {len(received) - len(result.received)} received events count for nothing")
    return found + _compare_end(result, rest, what)


def _compare_end(result: TurnResult, events: Sequence[HistoryEvent], what: str) -> list[str]:
    end = next((e for e in events if isinstance(e, ExecutionCompleted)), None)
    found = result.completion.status.value if result.completion else None
    expected = str(end.orchestration_status) if end else None
    if found == Status.CONTINUED_AS_NEW.value and expected is None:
        return []
    return [] if found == expected else [f"{what}: the body ends as {found}, the history as {expected}"]


def _check_completion(turn: Turn, events: Sequence[HistoryEvent]) -> list[str]:
    end = next((e for e in events if isinstance(e, ExecutionCompleted)), None)
    if end is None or end.orchestration_status != Status.COMPLETED or turn.completion is None:
        return []
    if end.result != turn.completion.result:
        return [f"the body's result is {turn.completion.result}, the history's {end.result}"]
    return []


def _texts(events: Iterable[HistoryEvent]) -> list[str]:
    return [encode(event) for event in events]
