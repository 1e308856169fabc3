"""What has arrived for an instance, as events: messages decoded and put in order, the history read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrations.engine import encoding
from orchestrations.engine.events import EventRaised, ExecutionTerminated, HistoryEvent, TimerFired
from orchestrations.runtime.parked import Parked
from orchestrations.store import looks
from orchestrations.store.looks import Message

TERMINATION = ExecutionTerminated.__name__


def arrange(messages: Sequence[Message]) -> list[tuple[Message, HistoryEvent]]:
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
    if plain and looks.is_cut(messages):  # what came between the last one and a timer is not shown yet
        timers = [pair for pair in timers if pair[1].timestamp < plain[-1][1].timestamp]
    timers.sort(key=lambda pair: (pair[1].timestamp, pair[0].id), reverse=True)
    found: list[tuple[Message, HistoryEvent]] = []
    for message, event in plain:
        while timers and timers[-1][1].timestamp < event.timestamp:
            found.append(timers.pop())
        found.append((message, event))
    return found + timers[::-1]


def read_history(texts: Sequence[str]) -> list[HistoryEvent]:
    """Decode a history. Raises `Parked` for what this version does not know."""
    try:
        return [event for text in texts for event in encoding.decode_all(text)]
    except (ValueError, KeyError, TypeError) as error:
        advice = "Deploy a version that knows what was written, or terminate the instance."
        raise Parked("payload", f"The history cannot be read ({type(error).__name__}: {error}). {advice}") from error


def _decode(message: Message) -> HistoryEvent:
    try:
        event = encoding.decode(message.body)
    except (ValueError, KeyError, TypeError) as error:
        raise Parked("payload", f"A message cannot be read ({type(error).__name__}: {error}).") from error
    return replace(event, message_id=message.id) if isinstance(event, EventRaised) else event
