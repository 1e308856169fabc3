"""A worker's attendance on its queue: while it lasts hints ring for this worker alone (see `hints`)."""

from __future__ import annotations

import logging
import time

from redis.exceptions import RedisError

from orchestrations import telemetry
from orchestrations.runtime import hints
from orchestrations.store.claims import ClaimLimits

STAY_SECONDS = 0.03
"""How long it waits before it says again that it attends; Redis wakes who waits ten times a second at least."""


class Attendance:
    """Begins with hint 0 and is renewed with each claim of all that is due; it lapses where that takes long, and then
    others are woken.

    It costs time only if it is lost, doubled or not renewed: hints may be (see `hints`).
    """

    def __init__(self, queue: str, owner: str) -> None:
        self._queue, self._owner = queue, owner
        self._is_on = self._is_fresh = False

    def take(self, seconds: float | None) -> bytes | None:
        """Take the next job's id, waiting so long at most (None: not at all); who has waited in vain attends no more.

        Raises what Redis raises.
        """
        until = time.monotonic() + (seconds or 0.0)
        while self._is_on and hints.stay(self._queue, self._owner):
            found = hints.take(self._queue, STAY_SECONDS if seconds else None, attends=True)
            if found is not None:
                return found
            if time.monotonic() >= until:
                self.end()
        self._is_on = False
        return hints.take(self._queue, None if time.monotonic() >= until else seconds)

    def accept(self, token: int) -> None:
        """Accept a hint that was taken: a claim must follow. Raises what Redis raises."""
        is_on = hints.accept(self._queue, token, self._owner)
        if token == 0:
            self._is_on = self._is_fresh = is_on

    def renew(self, limits: ClaimLimits) -> None:
        """Go on, before a claim with these limits, which is the answer to what has rung.

        Not if it takes no activities, which may be what has rung; nor if the worker leaves some of the queue's work to
        others, for they must hear of it. Whatever Redis does, a claim may follow.
        """
        if not self._is_on:
            return
        try:
            if limits.unknown_activities or limits.unknown_capabilities:
                self.end()
            elif limits.activities and not self._is_fresh:
                self._is_on = hints.accept(self._queue, 0, self._owner)
            self._is_fresh = False
        except (RedisError, OSError) as error:
            self._is_on = False
            telemetry.report(telemetry.QUEUE_FAILED, level=logging.DEBUG, error=error)

    def end(self) -> None:
        """Attend no more. Raises what Redis raises."""
        if self._is_on:
            self._is_on = False
            hints.leave(self._queue, self._owner)
