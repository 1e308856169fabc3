"""External events of one execution: those that nobody has waited for, and waits that nothing has met (EVT-1…3)."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from orchestrations.engine.events import EventRaised


class Waiting(Protocol):
    """A wait for an event of a name; `ordinal` tells it from the other waits of its execution."""

    name: str
    ordinal: int

    def receive(self, payload: str | None) -> None:
        """Take an event's payload."""


class Mailbox:
    """Both sides in order of arrival for each name, whatever its case; at most one side is not empty."""

    def __init__(self) -> None:
        self._raised: dict[str, deque[tuple[int, EventRaised]]] = {}
        self._arrived = 0
        self._waits: dict[str, deque[Waiting]] = {}

    def put(self, event: EventRaised) -> None:
        """Give the event to the oldest wait of its name, or keep it."""
        name = event.name.casefold()
        if waits := self._waits.get(name):
            waits.popleft().receive(event.input)
        else:
            self._arrived += 1
            self._raised.setdefault(name, deque()).append((self._arrived, event))

    def take(self, wait: Waiting) -> bool:
        """Settle the wait by a kept event, or put it into the queue of its name."""
        name = wait.name.casefold()
        if kept := self._raised.get(name):
            wait.receive(kept.popleft()[1].input)
            return True
        self._waits.setdefault(name, deque()).append(wait)
        return False

    def leave(self, wait: Waiting) -> None:
        """The wait takes no event any more."""
        self._waits[wait.name.casefold()].remove(wait)

    def next_ordinal(self, name: str) -> int | None:
        """Return the ordinal of the wait that the next event of that name goes to; None if nothing waits for it."""
        waits = self._waits.get(name.casefold())
        return waits[0].ordinal if waits else None

    def buffered(self) -> list[EventRaised]:
        """Return the kept events in order of arrival."""
        kept = sorted((pair for queue in self._raised.values() for pair in queue), key=lambda pair: pair[0])
        return [event for _, event in kept]
