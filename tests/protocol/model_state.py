"""One state of the protocol's model, as a tuple that can be counted and as a `World` that a step can change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

State = tuple[Any, ...]
"""clock, plan, publishes, pending, rows, activity, consumed, sets, enqueues, key, jobs, faults, workers."""

A_MESSAGE, B_MESSAGE, RESULT_MESSAGE, SENT_MESSAGE, TIMER_MESSAGE = 1, 2, 4, 8, 16
"""Messages, as bits of an inbox: two from outside, an activity's result, one that is sent on, a timer."""

NONE, OPEN, HELD, LAPSED, DONE, OWED = range(6)
"""A lease (OPEN: nobody's). An activity is NONE before it is made, and DONE after; OWED, it is no row, and whoever has
the lease of its instance, the first one, has it."""

NEVER, NOW, LATER = range(3)
"""`due_at`."""

IDLE, POPPED, CLAIM, HOLD, COMMIT, UNDELETED = range(6)
"""Where a worker is."""

UNKNOWN = -1
"""An inbox that was not looked at, or that something has arrived in since then."""

UNBEGUN, RUNS, RESULT = 1, 2, 3
"""An activity in a worker's hands."""

REST: tuple[Any, ...] = (IDLE, (), (), ())


class Twice(Exception):
    """A message was consumed, or an activity settled, a second time."""


class World:
    """A state, thawed. A row is [inbox, due_at, lease, who has locked it].

    A worker is (phase, ((instance, lease is still mine, loaded, known), …), (stage of its activity, lease is still
    mine), what it has locked or seen). `known` is the whole inbox as of its look, while the count of arrivals is the
    same.
    """

    __slots__ = (
        *("activity", "clock", "consumed", "enqueues", "faults", "jobs", "key", "pending", "plan", "publishes"),
        *("rows", "sets", "workers"),
    )

    def __init__(self, frozen: State) -> None:
        self.clock: int
        self.plan: int
        self.publishes: int
        self.pending: int
        self.activity: int
        self.consumed: int
        self.sets: int
        self.enqueues: int
        self.key: int
        self.jobs: int
        self.faults: int
        (self.clock, self.plan, self.publishes, self.pending, rows, self.activity, self.consumed) = frozen[:7]
        (self.sets, self.enqueues, self.key, self.jobs, self.faults, workers) = frozen[7:]
        self.rows: list[list[int]] = [list(row) for row in rows]
        self.workers: list[tuple[Any, ...]] = list(workers)

    def freeze(self) -> State:
        """Return the state as a tuple; counts that make no difference any more are cut, workers are sorted."""
        return (
            *(self.clock, self.plan, min(self.publishes, 1), self.pending, tuple(map(tuple, self.rows))),
            *(self.activity, self.consumed, min(self.sets, 2), self.enqueues, self.key, min(self.jobs, 2)),
            *(self.faults, tuple(sorted(self.workers))),
        )

    def due(self, inbox: int) -> int:
        """Return when an inbox with these messages is due."""
        return NOW if inbox & self.shown() else LATER if inbox else NEVER

    def visible(self, instance: int) -> int:
        """Return the visible messages of an instance."""
        return self.rows[instance][0] & self.shown()

    def new_epoch(self, instance: int) -> None:
        """Who held the lease of the instance (or, below zero, of the activity) holds an old epoch from now on."""
        if instance < 0:
            self.workers = [(p, held, act and (act[0], False), x) for p, held, act, x in self.workers]
        else:
            self.workers = [
                (p, tuple((j, mine and j != instance, m, known) for j, mine, m, known in held), act, x)
                for p, held, act, x in self.workers
            ]

    def deliver(self, instance: int, message: int, *, counts: bool = True) -> None:
        """Put a message into an inbox, lower its `due_at`, and count it: who has looked before knows no more."""
        row = self.rows[instance]
        row[0] |= message
        row[1] = min(row[1] or LATER, self.due(message))
        if counts:
            self.workers = [
                (p, tuple((j, mine, m, UNKNOWN if j == instance else known) for j, mine, m, known in held), act, x)
                for p, held, act, x in self.workers
            ]

    def consume(self, instance: int, messages: int) -> None:
        """Take messages out of an inbox. Raises `Twice`."""
        if self.consumed & messages:
            raise Twice
        self.consumed |= messages
        self.rows[instance][0] &= ~messages

    def wake_for(self, rows: Iterable[int]) -> None:
        """The one rule: who has written or locked a row and leaves it due and nobody's wakes its queue after COMMIT."""
        loose = [self.rows[i][1] for i in rows if self.rows[i][2] != HELD]
        self.sets += NOW in loose
        self.publishes += LATER in loose

    def shown(self) -> int:
        """Return the messages that count by now, as bits."""
        return -1 if self.clock else ~TIMER_MESSAGE
