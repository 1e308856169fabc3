"""Worker processes of the simulation: a real `Burst` for each hint, in an actor's thread; who dies is replaced."""

from __future__ import annotations

import traceback
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from django.db import Error, connection
from redis.exceptions import RedisError

from orchestrations.faults import crashpoint
from orchestrations.runtime import surroundings
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.jobs import take_hint
from orchestrations.runtime.retries import through_outage
from orchestrations.runtime.wake import wake
from orchestrations.runtime.watch import Watch
from orchestrations.runtime.worker_state import WorkerState
from tests.protocol.processes import Actor, Killed, Process
from tests.protocol.world import Violation, World


class Note:
    """What the worker writes down for its supervisor, who may read it at any time: what runs, what has ended."""

    def __init__(self) -> None:
        self.key = 0
        self.finished: set[int] = set()

    def move(self) -> None:
        """Note a step."""

    def begin(self, key: int, seconds: float, place: int = 0) -> None:
        """Note that an activity begins (its key), or a turn (minus its instance's)."""
        self.key = key

    def end(self, place: int = 0) -> None:
        """Note that nothing runs."""
        self.key = 0

    def finish(self, key: int) -> None:
        """Note that an activity's result is in hand."""
        self.finished.add(key)

    def keep_finished(self, keys: Collection[int]) -> None:
        """Note which results are in hand still."""
        self.finished = set(keys)


@dataclass(frozen=True)
class Loss:
    """A worker that has died, and what it had noted then."""

    owner: str
    key: int

    @property
    def blamed(self) -> tuple[list[int] | None, list[int] | None]:
        """Keys of the instances and of the activities that count as lost; None for all."""
        if not self.key:
            return None, None
        return ([-self.key], []) if self.key < 0 else ([], [self.key])


class WorkerPlace:
    """A place for one worker process on one queue."""

    def __init__(self, world: World, actor: Actor, number: int, queue: str) -> None:
        self._world, self.actor, self._number, self.queue = world, actor, number, queue
        self._starts = 0
        self.lost: list[Loss] = []
        self.failure = ""
        self.start()

    def start(self) -> None:
        """Begin anew, with an owner that nobody has had."""
        self._starts += 1
        self.process = Process(f"w{self._number}.{self._starts}")
        self.is_stopping = False
        self._note = Note()
        self._state: WorkerState | None = None

    @property
    def owner(self) -> str:
        """The name under which the present process leases."""
        return self.process.name

    @property
    def activity(self) -> int:
        """The key of the activity that runs, or 0."""
        return max(self._note.key, 0)

    @property
    def in_hand(self) -> set[int]:
        """The keys of the activity that runs, and of those whose results are not settled."""
        return {self.activity} | self._note.finished

    def take(self, token: int) -> None:
        """Let the process take a hint: it runs a burst, bit by bit."""
        self.actor.begin(lambda: self._run(token))
        self.go_on()

    def go_on(self) -> None:
        """Let it go on to the next seam; replace it if it has died."""
        self._world.acts(self.process, self.actor)
        self.actor.resume()
        self._world.acts(None)
        if self.process.is_dead and not self.actor.is_busy:
            self.lost.append(Loss(self.owner, self._note.key))
            self.start()

    def _run(self, token: int) -> None:
        process = self.process
        if self._state is None:  # in its own thread, whose connections it looks after
            self._state = WorkerState(process.name, "code", cast(Watch, self._note))
        try:
            crashpoint("popped")
            self._serve(self._state, token)
            process.is_dead |= self.is_stopping or self._state.is_spoilt
        except Killed:
            pass
        except Violation as violation:
            process.is_dead, self.failure = True, str(violation)
        except BaseException:
            if not process.is_dead:  # else it is what became of its death
                process.is_dead, self.failure = True, f"a worker process ended:\n{traceback.format_exc()}"
        if connection.in_atomic_block or not connection.get_autocommit():
            surroundings.forget(connection)

    def _serve(self, state: WorkerState, token: int) -> None:
        """Run a burst for the hint, and for what rings then; at times it is slow to hear, and its attendance lapses."""
        attendance = Attendance(self.queue, state.owner)
        wanted: int | None = token
        while wanted is not None and not (self.is_stopping or state.is_spoilt):
            burst = Burst(state, self.queue, attendance, should_stop=lambda: self.is_stopping)
            if not self._work(burst, attendance, state, wanted) or self._world.happens("hint", 0.3):
                return
            for _ in range(self._world.random.randrange(6)):
                crashpoint("waits")
            try:
                wanted = None if attendance.take(None) is None else 0
            except RedisError:
                return

    def _work(self, burst: Burst, attendance: Attendance, state: WorkerState, token: int) -> bool:
        """Run the burst; after an error of the database or the queue let go of what it held. Tell if all went well."""
        try:
            take_hint(token, attendance, burst)
        except (Error, RedisError) as error:
            is_injected = self.process.suffered or self._world.bus.is_down or isinstance(error, RedisError)
            if not is_injected and not self.process.is_dead:
                raise
            state.bodies.clear()
            through_outage(burst.give_up, give_up=lambda: False, pulse=state.move)
            wake(self.queue)
            return False
        return True
