"""The simulated world: one chance, one clock, one Redis, and the real code under all that can happen to it.

Chance speaks wherever the code under test passes a seam: a crash point, a statement, a COMMIT. Outside of transactions
a worker lays the baton down there; anywhere a process may die, or get an error from the database, before a statement,
before a COMMIT or after it took effect. What was decided is written down, so that a violation comes with its story.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import OperationalError, connection
from django.test import override_settings

from orchestrations import faults
from orchestrations.store import clock
from tests.protocol import records
from tests.protocol.bus import Bus
from tests.protocol.processes import Actor, Killed, Process
from tests.taps import Execute

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
UNDOING = ("ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")
LISTENERS = 2
T = TypeVar("T")
FAULTS = ("death", "error", "zombie", "hint")
PAUSES = 0.6
"""The share of seams at which a worker lays the baton down."""
SETTINGS = {"DURABLE_LEASE_SECONDS": 10.0, "DURABLE_LOST_ATTEMPTS": 100}


class Violation(Exception):
    """Something that must hold does not."""


class SimulatedClock:
    """Time that passes when somebody says so."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        """Return the database's time."""
        return self._now

    estimate = now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self._now - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


class World:
    """What all processes share. `process` is the one that acts; None is the test itself, which nothing befalls."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = SimulatedClock()
        self.bus = Bus(self.clock.now, LISTENERS)
        self.process: Process | None = None
        self.actor: Actor | None = None
        self.story: list[str] = []
        self.counts: Counter[str] = Counter()
        self.dispatched: set[records.Attempt] = set()
        self.is_calm = False
        self._before: dict[int, tuple[str, str, int]] = {}
        self.is_done = False
        """True if nothing is left to do in the tables, as of the last COMMIT."""
        harshness = self.random.choice((0.0, 1.0, 1.0, 1.0))
        self.rates = {fault: harshness * self.random.choice((0.2, 1.0, 5.0)) for fault in FAULTS}
        self._settings = {
            **SETTINGS,
            "DURABLE_BURST_SECONDS": self.random.choice((0.5, 10.0, 60.0)),
            "DURABLE_CLAIM_SIZE": self.random.choice((1, 2, 100)),
            "DURABLE_LIVE_BODIES": self.random.choice((0, 1, 1000)),
        }

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the clock, the bus, the crash points and the ids of this world in place until the block ends."""
        with ExitStack() as stack:
            stack.enter_context(clock.kept_by(self.clock))
            stack.enter_context(self.bus.connected())
            stack.enter_context(faults.observed(self.on_crashpoint))
            stack.enter_context(override_settings(**self._settings))
            state = random.getstate()
            stack.callback(random.setstate, state)
            random.seed(self.random.random())  # pauses between tries come from there
            yield

    def new_uuid(self) -> UUID:
        """Return what stands for `uuid4` here: the same for the same seed."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def tell(self, what: str) -> None:
        """Write down what was decided."""
        self.story.append(f"{self.clock.monotonic():8.3f} {what}")

    def acts(self, process: Process | None, actor: Actor | None = None) -> None:
        """Say whose turn it is."""
        self.process, self.actor = process, actor

    # --- the seams

    def on_crashpoint(self, label: str) -> None:
        """Lay the baton down, or die."""
        if self.process is None:
            return
        if not connection.in_atomic_block:
            self._pause(label)
        self._perhaps_die(0.03, label)

    def on_statement(self, execute: Execute, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        """Carry out a statement, unless its process is dead, dies or loses its connection at it."""
        process = self.process
        if process is None or sql.startswith(UNDOING):
            return execute(sql, parameters, many, context)
        if not connection.in_atomic_block:
            self._pause(sql.split(None, 2)[0].lower())
        self._perhaps_die(0.002, "a statement")
        self._perhaps_fail(0.002, "a statement")
        result = execute(sql, parameters, many, context)
        if sql.startswith("BEGIN"):
            self._before = self._see(records.places)
        return result

    def on_commit(self, real: Callable[[], None]) -> None:
        """Carry out a COMMIT; what happens before it undoes all, what happens after it nobody may believe undone."""
        process = self.process
        if process is None:
            return real()
        try:
            self._perhaps_die(0.005, "COMMIT")
        except Killed:
            connection.rollback()  # the server does so; left alone, SQLite's driver would commit
            raise
        self._perhaps_fail(0.005, "COMMIT")
        real()
        process.commits += 1
        self._check_commit()
        self._perhaps_fail(0.01, "the answer to COMMIT")
        return self._perhaps_die(0.02, "the answer to COMMIT")

    def _pause(self, label: str) -> None:
        may_rest = self.actor is not None and self.actor.is_here and not self.is_calm
        if may_rest and self.random.random() < PAUSES:
            assert self.actor is not None
            self.actor.pause()

    def _perhaps_die(self, probability: float, where: str) -> None:
        process = self.process
        assert process is not None
        if not process.is_dead and self.happens("death", probability):
            self.kill(process, where)
        if process.is_dead:
            raise Killed(process.name)

    def _perhaps_fail(self, probability: float, where: str) -> None:
        assert self.process is not None
        if self.happens("error", probability):
            self.counts["errors"] += 1
            self.process.suffered += 1
            self.tell(f"{self.process.name} gets an error at {where}")
            raise OperationalError(f"injected at {where}")

    # --- chance

    def happens(self, fault: str, probability: float) -> bool:
        """Let chance decide about a fault; when all is calm none happens."""
        return not self.is_calm and self.random.random() < probability * self.rates[fault]

    def kill(self, process: Process, where: str) -> None:
        """Let a process die."""
        self.counts["kills"] += 1
        self.tell(f"{process.name} dies at {where}")
        process.is_dead = True

    def _see(self, look: Callable[[], T]) -> T:
        """Look at the tables as the test, to which nothing happens."""
        process, self.process = self.process, None
        try:
            return look()
        finally:
            self.process = process

    def _check_commit(self) -> None:
        """Look at the tables after a COMMIT: fences (REL-4), `due_at` (I15), and which activities now exist."""
        assert self.process is not None
        for key, (_, *place) in self._see(records.places).items():
            owner, *before = self._before.get(key, (self.process.name, *place))
            if place != before and owner != self.process.name:
                raise Violation(f"REL-4: {self.process.name} turned instance {key}, which '{owner}' held")
        self.dispatched |= self._see(records.open_attempts)
        self.is_done = not self._see(records.has_work)
        if settled := self._see(records.settled_but_open):
            raise Violation(f"REL-4: {settled} was settled by somebody who did not hold it")
        if late := self._see(lambda: records.overlooked(self.clock.now())):
            raise Violation(f"I15: a message waits for {late}, which is not due in time")
