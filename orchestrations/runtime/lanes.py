"""Activities that run beside the worker's other work: `async def` in one event loop, waiting ones in threads.

Each has a deadline and, until then, its lease; both ends of that are the worker's: the supervisor renews what the watch
says is running, and ends the process where a deadline passed and nothing here could do anything about it. Outcomes are
settled from a thread of their own, through the instance's inbox, so they wait for no burst.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from django.db import connections

from orchestrations import telemetry
from orchestrations.authoring.registry import ACTIVITY, Function, registry
from orchestrations.conf import conf
from orchestrations.engine import payloads
from orchestrations.runtime import outcomes
from orchestrations.runtime.activities import arguments, spoils
from orchestrations.runtime.event_loop import EventLoop, cancel_all, own_tasks
from orchestrations.runtime.outcomes import Outcome
from orchestrations.runtime.retries import through_locks, through_outage
from orchestrations.runtime.surroundings import Surroundings, restore_connections
from orchestrations.runtime.wake import wake
from orchestrations.runtime.watch import PLACES, Watch
from orchestrations.store import activities
from orchestrations.store.activities import Result
from orchestrations.store.claimed import ClaimedActivity
from orchestrations.store.signals import burst_ended

GRACE_SECONDS = 5.0
"""After its deadline a coroutine has so long to end, then the supervisor ends the worker."""

UNSETTLED_SECONDS = 24 * 3600.0
"""What has ended is past no deadline, however long the database is away: its lease goes on until it is settled."""

TICK_SECONDS = 0.1
_DONE = object()


@dataclass(eq=False, slots=True)
class Attempt:
    """One activity in a lane. Whoever takes `is_settled` from False to True, under the lanes' lock, records it."""

    activity: ClaimedActivity
    function: Function
    seconds: float
    place: int
    deadline: float
    is_settled: bool = False


class Lanes:
    """The lanes of one worker. `is_spoilt`: something ended in a way after which the process must be replaced."""

    def __init__(
        self, owner: str, surroundings: Surroundings, watch: Watch | None = None, threads: int | None = None
    ) -> None:
        self._owner, self._surroundings, self._watch = owner, surroundings, watch
        self._limits = payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH)
        self._most = {True: conf.ASYNC_ACTIVITIES, False: conf.THREADS if threads is None else threads}
        self._running: set[Attempt] = set()
        self._places = list(range(PLACES - 1, 0, -1))
        self._lock = threading.Lock()
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._unsettled = 0
        self._has_turned_away = False
        self._settler: threading.Thread | None = None
        self._loop = EventLoop()
        self.is_spoilt = False
        self.is_closing = False

    # --- from the main thread

    def serves(self, function: Function) -> bool:
        """Tell whether calls of this function run here."""
        return function.is_async or (function.thread and self._most[False] > 0)

    def has_room(self, function: Function) -> bool:
        """Tell whether one more call of this function may run now."""
        with self._lock:
            count = sum(attempt.function.is_async == function.is_async for attempt in self._running)
        return count < self._most[function.is_async]

    def full_names(self) -> tuple[str, ...]:
        """Return the names of the activities that would find no room now: they are left to other workers."""
        if not self._running:
            return ()
        served = [f for f in registry.functions() if f.kind == ACTIVITY and self.serves(f)]
        return tuple(sorted({f.name for f in served if not self.has_room(f)}))

    def turn_away(self) -> None:
        """Note that there was no room for something: its queue is woken once there is."""
        self._has_turned_away = True

    def start(self, activity: ClaimedActivity, function: Function, seconds: float) -> None:
        """Run the attempt here, from now on for `seconds` at most. There must be room."""
        self._ensure_settler()
        with self._lock:
            attempt = Attempt(activity, function, seconds, self._places.pop(), time.monotonic() + seconds)
            self._running.add(attempt)
        if self._watch is not None:
            self._watch.begin(activity.id, seconds + GRACE_SECONDS, attempt.place)
        if function.is_async:
            self._loop.submit(self._run_coroutine(attempt))
        else:
            threading.Thread(target=self._run_thread, args=(attempt,), daemon=True, name=activity.name).start()

    def is_busy(self) -> bool:
        """Tell whether something runs here, or has ended and is not settled."""
        return bool(self._running) or self._unsettled > 0

    def keys(self) -> set[int]:
        """Return the keys of the activities that run here or are not settled yet."""
        with self._lock:
            return {attempt.activity.id for attempt in self._running}

    def drain(self, pulse: Callable[[], None] = lambda: None, *, seconds: float = float("inf")) -> None:
        """Wait until all that runs here has ended and is settled, each within its deadline, or for so many seconds."""
        until = time.monotonic() + seconds
        while self.is_busy() and time.monotonic() < until:
            pulse()
            time.sleep(TICK_SECONDS / 2)

    def close(self) -> None:
        """End the threads; what is not settled is delivered again."""
        self.is_closing = True
        if self._settler is not None:
            self._results.put(_DONE)
            self._settler.join(5.0)
        self._loop.stop()

    # --- coroutines

    async def _run_coroutine(self, attempt: Attempt) -> None:
        with self._answering_for(attempt):
            tasks = own_tasks()
            event = await self._call_coroutine(attempt)
            cancel_all(tasks)
            self._finish(attempt, event)

    async def _call_coroutine(self, attempt: Attempt) -> Outcome:
        scope = asyncio.timeout(attempt.seconds)
        try:
            async with scope:
                value = await attempt.function.call(*arguments(attempt.activity, attempt.function))
        except BaseException as error:
            if scope.expired():
                return self._timed_out(attempt)
            self.is_spoilt = self.is_spoilt or spoils(error)
            return outcomes.raised(attempt.activity, error)
        if scope.expired():
            return self._timed_out(attempt)
        return outcomes.completed(attempt.activity, value, self._limits)

    # --- threads

    def _run_thread(self, attempt: Attempt) -> None:
        try:
            with self._answering_for(attempt):
                self._finish(attempt, self._call(attempt))
        finally:
            connections.close_all()

    def _call(self, attempt: Attempt) -> Outcome:
        try:
            value = copy_context().run(attempt.function.call, *arguments(attempt.activity, attempt.function))
        except BaseException as error:
            self._surroundings.end_child()
            self.is_spoilt = self.is_spoilt or spoils(error)
            return outcomes.raised(attempt.activity, error)
        self._surroundings.end_child()
        event = outcomes.completed(attempt.activity, value, self._limits)
        leftovers = restore_connections()
        return outcomes.left_behind(attempt.activity, leftovers) if leftovers else event

    def _abandon_late(self) -> None:
        """Record the time-out of threads that have passed their deadline: they cannot be ended, but the process can."""
        now = time.monotonic()
        with self._lock:
            late = [a for a in self._running if not a.function.is_async and now > a.deadline]
        for attempt in late:
            self.is_spoilt = True
            self._finish(attempt, self._timed_out(attempt))

    def _timed_out(self, attempt: Attempt) -> Outcome:
        telemetry.report(
            telemetry.ACTIVITY_TIMED_OUT,
            level=logging.WARNING,
            activity=attempt.activity.name,
            seconds=attempt.seconds,
        )
        return outcomes.timed_out(attempt.activity, attempt.seconds)

    # --- settling

    def _finish(self, attempt: Attempt, event: Outcome) -> None:
        with self._lock:
            if attempt.is_settled:
                return
            if self._watch is not None:  # it has ended in time, however long its result waits to be settled
                self._watch.begin(attempt.activity.id, UNSETTLED_SECONDS, attempt.place)
            attempt.is_settled = True
            self._unsettled += 1
            self._results.put((attempt, Result(attempt.activity, event)))

    @contextmanager
    def _answering_for(self, *attempts: Attempt) -> Iterator[None]:
        """Let a fault of our own code replace the worker, and not leave attempts without an end: what the watch says
        that it ran is lost with it, and runs again."""
        try:
            yield
        except BaseException as error:
            with self._lock:  # first of all: what is said below goes through handlers of others
                self.is_spoilt = True
                self._unsettled -= sum(attempt.is_settled for attempt in attempts)
                self._running.difference_update(attempts)
                for attempt in attempts:
                    attempt.is_settled = True
            names = " ".join(sorted({attempt.activity.name for attempt in attempts}))
            telemetry.report(telemetry.ACTIVITY_UNRECORDED, level=logging.ERROR, error=error, activity=names)
            logging.getLogger(__name__).error("The worker is replaced.", exc_info=error)

    def _ensure_settler(self) -> None:
        if self._settler is None:
            self._settler = threading.Thread(target=self._settle_all, daemon=True, name="lane results")
            self._settler.start()

    def _settle_all(self) -> None:
        """Settle results as they come, those that wait together; watch the threads' deadlines meanwhile."""
        try:
            while True:
                self._abandon_late()
                found = self._take()
                if found:
                    self._settle(found)
                elif self.is_closing:
                    return
        finally:
            connections.close_all()

    def _take(self) -> list[tuple[Attempt, Result]]:
        found: list[tuple[Attempt, Result]] = []
        try:
            item = self._results.get(timeout=TICK_SECONDS)
            while len(found) < conf.RESULT_GROUP_SIZE:
                if item is not _DONE:
                    found.append(item)
                item = self._results.get_nowait()
            self._results.put(item)
        except queue.Empty:
            pass
        return found

    def _settle(self, found: list[tuple[Attempt, Result]]) -> None:
        with self._answering_for(*(attempt for attempt, _ in found)):
            self._record(found)
        if self._has_turned_away:
            self._has_turned_away = False
            for name in {attempt.activity.queue for attempt, _ in found}:
                wake(name)

    def _record(self, found: list[tuple[Attempt, Result]]) -> None:
        results = [result for _, result in found]
        counted = through_outage(
            lambda: through_locks(lambda: activities.settle(results, self._owner)),
            give_up=lambda: self.is_closing,
            pulse=lambda: None,
        )
        if counted is not None and counted < len(results):
            refused = len(results) - counted
            telemetry.report(telemetry.RESULT_REFUSED, level=logging.WARNING, results=refused)
        burst_ended.send_robust(sender=None)
        with self._lock:
            for attempt, _ in found:
                self._running.discard(attempt)
                if self._watch is not None:
                    self._watch.end(attempt.place)
                self._places.append(attempt.place)
            self._unsettled -= len(found)
