"""What this worker cannot run, and whether another one of its queue can.

A worker claims only what it can run. What it cannot it finds out at the first claim: it leaves that to the others for a
while. Where no living worker has the function, the work is put aside and its instance says so, until one comes.
"""

from __future__ import annotations

from orchestrations.store import clock, processes

LEFT_SECONDS = 5.0
"""For how long a worker leaves something to others before it looks again whether there are any."""

ASKED_SECONDS = 1.0


class Fleet:
    """One worker's view of the others."""

    def __init__(self) -> None:
        self._left: dict[str, dict[str, float]] = {}
        self._served: dict[str, tuple[float, dict[str, set[str]]]] = {}

    def leave(self, kind: str, name: str) -> None:
        """Leave everything of that name to other workers for a while."""
        self._left.setdefault(kind, {})[name] = clock.monotonic() + LEFT_SECONDS

    def left(self, kind: str) -> tuple[str, ...]:
        """Return what is left to others now."""
        names = self._left.get(kind)
        if not names:
            return ()
        now = clock.monotonic()
        for name in [name for name, until in names.items() if until <= now]:
            del names[name]
        return tuple(sorted(names))

    def serves(self, kind: str, queue: str, name: str) -> bool:
        """Tell whether a living worker of the queue has the function. Asked of the database once a second at most."""
        asked, found = self._served.get(queue, (float("-inf"), {}))
        if clock.monotonic() - asked > ASKED_SECONDS:
            found = processes.functions_served(queue, clock.now())
            self._served[queue] = clock.monotonic(), found
        return name in found.get(kind, ())
