"""Does what the code asks for match what the history holds? And how to say it to people (NDT-1…4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrations.engine.events import (
    EventSent,
    ExecutionCompleted,
    ExecutionRewound,
    HistoryEvent,
    OrchestratorCompleted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from orchestrations.engine.results import Completion
from orchestrations.engine.state import Status
from orchestrations.engine.tasks import Task

Key = tuple[int, int, bool]
"""Sequence number, attempt, and whether it is a back-off: those share their task's number."""

_WORDS = {"activity": "activity", "sub-orchestration": "sub-orchestration", "timer": "a timer", "event": "event"}


class Script:
    """What a history holds and the code must ask for again. Where a row stands in the history does not matter.

    Chains that a rewind has taken out are excused: the code may ask for them where the history holds them no more.
    """

    def __init__(self) -> None:
        self._rows: dict[Key, HistoryEvent] = {}
        self._undone: set[int] = set()
        self.has_ended = False

    def read(self, history: Sequence[HistoryEvent]) -> Sequence[HistoryEvent]:
        """Learn the rows of a history; return it in DTFx's order, where the end comes before the turn's end (HIS-4)."""
        match history:
            case [*before, OrchestratorCompleted() as turn_end, ExecutionCompleted() as end]:
                history = [*before, end, turn_end]
        for event in history:
            if (key := key_of(event)) is not None:
                self._rows[key] = event
            elif isinstance(event, ExecutionRewound):
                self._undone.update(event.undone or ())
        return history

    def take(self, asked: HistoryEvent) -> HistoryEvent | None:
        """Return the row with the key of what is asked for, once; None if it is new."""
        key = key_of(asked)
        return self._rows.pop(key, None) if key is not None else None

    def holds(self, row: HistoryEvent) -> bool:
        """Tell whether the row has not been asked for yet."""
        return key_of(row) in self._rows

    def first_input(self, kind: type[HistoryEvent], sequence: int, name: str) -> str | None:
        """Return the input of the first attempt under that number, if that is of that kind and name, and not asked for
        yet."""
        row = self._rows.get((sequence, 1, False))
        return getattr(row, "input", None) if type(row) is kind and getattr(row, "name", None) == name else None

    def is_excused(self, asked: HistoryEvent) -> bool:
        """Tell whether a committed turn may have asked for it although the history does not hold it.

        That is so of timers that an end made pointless (ORC-6), and of chains that a rewind has taken out.
        """
        return asked.event_id in self._undone or (self.has_ended and isinstance(asked, TimerCreated))


def key_of(event: HistoryEvent) -> Key | None:
    """Return what identifies a scheduled row within its execution; None for other kinds."""
    make = _KEYS.get(type(event))
    return None if make is None else make(event)


_KEYS: dict[type[HistoryEvent], Callable[[Any], Key]] = {
    TaskScheduled: lambda event: (event.event_id, event.attempt or 1, False),
    SubOrchestrationInstanceCreated: lambda event: (event.event_id, event.attempt or 1, False),
    TimerCreated: lambda event: (event.event_id, event.attempt or 1, event.origin == "retry"),
    EventSent: lambda event: (event.event_id, 1, False),
}


def same(held: HistoryEvent, asked: HistoryEvent) -> bool:
    """Tell whether both are the same decision. Inputs, versions, tags and fire times are not compared."""
    if type(held) is not type(asked):
        return False
    if isinstance(held, SubOrchestrationInstanceCreated) and isinstance(asked, SubOrchestrationInstanceCreated):
        named = held.is_named or asked.is_named
        return held.name == asked.name and (not named or held.instance_id == asked.instance_id)
    if isinstance(held, EventSent) and isinstance(asked, EventSent):
        return (held.name.casefold(), held.instance_id) == (asked.name.casefold(), asked.instance_id)
    return bool(getattr(held, "name", None) == getattr(asked, "name", None))


def describe(event: HistoryEvent) -> str:
    """Say a decision in the words of NDT-4."""
    if isinstance(event, TaskScheduled):
        return f"activity '{event.name}'"
    if isinstance(event, SubOrchestrationInstanceCreated):
        return f"sub-orchestration '{event.name}'" + (f" (instance ID '{event.instance_id}')" if event.is_named else "")
    if isinstance(event, EventSent):
        return f"event '{event.name}' for instance '{event.instance_id}'"
    return "a timer"


def describe_body(completion: Completion | None, awaited: Task | None) -> str:
    """Say what the body does now, where it should have asked for something."""
    if completion is not None and completion.failure is not None:
        failure = completion.failure
        short = failure.error_type.rpartition(".")[2]
        trace = f"\n{failure.stack_trace}" if failure.stack_trace else ""
        return f"nothing (it raised {short}: {failure.message}{trace})"
    if completion is not None:
        is_continued = completion.status is Status.CONTINUED_AS_NEW
        return "continue-as-new" if is_continued else "the end of the orchestrator"
    leaf = next(awaited.leaves(), None) if awaited is not None else None
    if leaf is None:
        return "nothing"
    facts = leaf.describe()
    noun = _WORDS.get(facts["kind"], facts["kind"])
    name = f" '{facts['name']}'" if facts.get("name") else ""
    return f"nothing (it waits for {noun}{name})"
