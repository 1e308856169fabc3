"""The dispatcher's rounds: wake every queue with work that is due and nobody's, and know the next due instant.

Every supervisor runs one. It is a loop, not a job, so nothing that can be lost keeps it alive; claims decide between
the workers that several of them wake.
"""

from __future__ import annotations

import heapq
import logging
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.runtime import hints, queues
from orchestrations.runtime.hints import ATTENDED, CHANNEL
from orchestrations.runtime.wake import wake
from orchestrations.store import clock, due

PLANNED_LIMIT = 10_000
"""Instants beyond this many are left to the next sweep."""

WATCH_SECONDS = 0.03
"""How often a queue that somebody attends to is looked at: whether that lasts, or a bell rings for nobody."""


class Sweeper:
    """Holds the due instants of the next seconds, as far as it has heard of them: (instant, queue), a heap; and the
    queues that somebody attends to."""

    def __init__(self) -> None:
        self._planned: list[tuple[datetime, str]] = []
        self._attended: set[str] = set()
        self._watched_at = clock.monotonic()
        self._subscription = queues.subscription()
        self._is_listening = False

    def sweep(self) -> dict[str, int]:
        """Ask the database once: wake what is due and nobody's, plan for what becomes due until the next sweep."""
        now = clock.now()
        horizon = now + timedelta(seconds=1.25 * conf.SWEEP_SECONDS)
        self._planned.clear()
        for queue, at in due.list_upcoming(now, horizon):
            self.plan(queue, at)
        found = due.count_due(now)
        self._attended.update(found)  # it looks whether they are
        for queue, items in found.items():
            if not self._is_full(queue):
                wake(queue, items=items)
        return found

    def plan(self, queue: str, at: datetime) -> None:
        """Note that the queue has something due at that instant."""
        if len(self._planned) < PLANNED_LIMIT:
            heapq.heappush(self._planned, (at, queue))

    def fire(self) -> None:
        """Wake the queues whose planned instant has come, and those whose attendant does not hear its bell."""
        now, queues_due = clock.now(), set()
        while self._planned and self._planned[0][0] <= now:
            queues_due.add(heapq.heappop(self._planned)[1])
        for queue in sorted(queues_due):
            wake(queue)
        self._watch()

    def seconds_to_next(self) -> float | None:
        """Return how long it is until `fire` has something to do, as far as it knows; None if it knows of nothing."""
        moments = [(self._planned[0][0] - clock.now()).total_seconds()] if self._planned else []
        moments += [self._watched_at + WATCH_SECONDS - clock.monotonic()] if self._attended else []
        return max(0.0, min(moments)) if moments else None

    def listen(self, seconds: float) -> None:
        """Rest for so long, or until news of an instant comes. Without Redis it rests, and asks again."""
        try:
            if not self._is_listening:
                self._subscription.subscribe(CHANNEL)
                self._is_listening = True
            message = self._subscription.get_message(timeout=max(seconds, 0.001))
        except (RedisError, OSError) as error:
            self._is_listening = False
            telemetry.report(telemetry.WAKE_FAILED, level=logging.DEBUG, error=error)
            rest(seconds)
            return
        if message is not None and message["type"] == "message":
            self._hear(message["data"])

    def close(self) -> None:
        """Stop listening."""
        self._subscription.close()

    def _watch(self) -> None:
        if not self._attended or clock.monotonic() - self._watched_at < WATCH_SECONDS:
            return
        self._watched_at = clock.monotonic()
        self._attended = {queue for queue in self._attended if self._is_attended(queue)}

    def _hear(self, data: bytes) -> None:
        queue, _, moment = data.decode(errors="replace").partition(" ")
        if moment == ATTENDED and len(self._attended) < PLANNED_LIMIT:
            self._attended.add(queue)
            return
        try:
            at = datetime.fromisoformat(moment)
            is_near = at <= clock.now() + timedelta(seconds=1.25 * conf.SWEEP_SECONDS)
        except (ValueError, TypeError, OverflowError):  # no date, none with a zone, or none on earth
            return
        if is_near:
            self.plan(queue, at)  # what lies further ahead a sweep will find

    def _is_attended(self, queue: str) -> bool:
        """Tell whether somebody attends; if not, the bell becomes a job for all."""
        try:
            return hints.offer(queue, (), hints.PROBE_MILLISECONDS)
        except (RedisError, OSError):  # the next sweep will hint
            return False

    def _is_full(self, queue: str) -> bool:
        """Tell whether as many hints wait in the queue as it has workers; what somebody has damaged there is mended."""
        try:
            if damaged := queues.heal(queue):
                telemetry.report(telemetry.QUEUE_HEALED, level=logging.WARNING, queue=queue, keys=damaged)
            return queues.count_hints(queue) >= max(1, queues.count_listeners(queue))
        except (RedisError, OSError):
            return True


def rest(seconds: float) -> None:
    """Sleep, when there is nothing to listen to."""
    clock.sleep(min(max(seconds, 0.05), 1.0))
