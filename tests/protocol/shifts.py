"""A shift: a worker, a sweeper and simulated time, in the test's own thread and on either database.

Bursts, wakes, tokens and sweeps are the real ones; Redis is the one in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from django.db import DatabaseError, connection
from django.test import override_settings

from orchestrations.client.client import DurableClient
from orchestrations.conf import conf
from orchestrations.errors import DurableError
from orchestrations.runtime import surroundings
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.jobs import take_hint
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import clock, hubs, leases
from tests.protocol import records
from tests.protocol.bus import Bus, nobody_watching
from tests.protocol.processes import Killed
from tests.protocol.world import SimulatedClock
from tests.taps import unflushed, ungated

ROUNDS = 200
IDLE_SECONDS = 1.0
TRIES = 5

Deed = Callable[[DurableClient], object]


class Shift:
    """Does what clients ask, and works off what comes of it."""

    def __init__(self) -> None:
        self._clock = SimulatedClock()
        self._bus = Bus(self._clock.now, listeners=1)
        self._count = 0
        self.is_acting = False
        """True while the code under test has the word, and not the test."""

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Put clock and bus in place, and begin with empty tables."""
        records.clear()
        hubs.ensure(conf.HUB)  # asked for once in a process, so never in the middle
        with ExitStack() as stack:
            stack.enter_context(clock.kept_by(self._clock))
            stack.enter_context(self._bus.connected())
            stack.enter_context(nobody_watching())
            stack.enter_context(unflushed())
            stack.enter_context(ungated())
            stack.enter_context(override_settings(DURABLE_BURST_SECONDS=60.0))
            self._sweeper = Sweeper()
            self._hire()
            yield
            self._worker.close()

    def do(self, deed: Deed) -> None:
        """Do what a client wants; again after an error of the database, for nobody told it what had happened."""
        for _ in range(TRIES):
            try:
                self._act(lambda: deed(DurableClient()))
            except (DatabaseError, Killed):
                surroundings.forget(connection)
            except DurableError as error:
                if error.code != "instance.terminal":
                    raise
                return
            else:
                return
        raise AssertionError(f"The client got errors {TRIES} times.")

    def work_off(self) -> None:
        """Run bursts and let time pass until nothing is due any more, now or later."""
        for _ in range(ROUNDS):
            waiting = [queue for queue, hints in self._bus.hints.items() if hints]
            if waiting:
                self._burst(waiting[0], self._bus.hints[waiting[0]].pop())
            elif not records.has_due():
                return
            else:
                self._clock.sleep(IDLE_SECONDS)
                self._supervise(self._sweeper.sweep)
        raise AssertionError(f"There is still work after {ROUNDS} rounds: {records.statuses()}")

    def _hire(self) -> None:
        self._count += 1
        self._worker = WorkerState(f"worker-{self._count}", "code")

    def _burst(self, queue: str, token: int) -> None:
        """Run a burst; let go of what it held after an error of the database; after a death hire another worker."""
        attendance = Attendance(queue, self._worker.owner)
        burst = Burst(self._worker, queue, attendance)
        try:
            self._act(lambda: take_hint(token, attendance, burst))
            attendance.end()
        except DatabaseError:
            self._worker.bodies.clear()
            surroundings.forget(connection)
            self._supervise(burst.give_up)
        except Killed:
            surroundings.forget(connection)
            dead = self._worker.owner
            self._hire()
            self._supervise(lambda: leases.lose(dead, None, None, clock.now()))

    def _supervise(self, act: Callable[[], object]) -> None:
        """Do what goes on after an outage: after an error it is tried again."""
        try:
            self._act(act)
        except (DatabaseError, Killed):
            surroundings.forget(connection)
            self._clock.sleep(IDLE_SECONDS)
            self._act(act)

    def _act(self, act: Callable[[], object]) -> None:
        self.is_acting = True
        try:
            act()
        finally:
            self.is_acting = False
