"""Redis and RQ as the protocol uses them: a key that says that a hint is on its way, hints, planned instants.

Everything in it may be lost, doubled or late.
"""

from __future__ import annotations

from datetime import datetime, timedelta

WAKE = timedelta(seconds=1)
STUCK = timedelta(seconds=15)


class Queue:
    """One queue of hints, which all say the same."""

    def __init__(self) -> None:
        self.hints = 0
        self.key_until: datetime | None = None
        self.planned: set[datetime] = set()
        self.is_down = False

    def set_key(self, now: datetime) -> bool:
        """SET NX PX: True if no hint was on its way, so that one must be sent."""
        if self.is_down or (self.key_until is not None and now < self.key_until):
            return False
        self.key_until = now + WAKE
        return True

    def delete_key(self) -> None:
        """The hint has arrived."""
        self.key_until = None

    def enqueue(self) -> None:
        """Send a hint."""
        self.hints += not self.is_down

    def plan(self, at: datetime) -> None:
        """Publish an instant at which the queue will have work."""
        if not self.is_down:
            self.planned.add(at)

    def flush(self) -> None:
        """FLUSHALL: everything is gone."""
        self.hints, self.key_until = 0, None
        self.planned.clear()

    def stick(self, now: datetime) -> None:
        """A process died between setting the key and sending the hint, and the key lives long."""
        self.key_until = now + STUCK
