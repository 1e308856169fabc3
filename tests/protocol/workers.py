"""Worker processes of the simulation: a real `Burst` for each hint, in an actor's thread; who dies is replaced."""

from __future__ import annotations

import traceback
from typing import cast

from django.db import Error, connection
from redis.exceptions import RedisError

from orchestrations.faults import crashpoint
from orchestrations.runtime.bursts import Burst, WorkerState
from orchestrations.runtime.jobs import KIND, take_hint
from orchestrations.runtime.watch import Watch
from tests.protocol.processes import Actor, Killed, Process
from tests.protocol.world import Violation, World


class Note:
    """What the worker writes down for its supervisor, who may read it at any time: the activity that runs."""

    def __init__(self) -> None:
        self.key = 0

    def begin(self, key: int, seconds: float) -> None:
        """Note that an activity begins, or a turn."""
        self.key = key

    def end(self) -> None:
        """Note that nothing runs."""
        self.key = 0


class WorkerPlace:
    """A place for one worker process on one queue."""

    def __init__(self, world: World, actor: Actor, number: int, queue: str) -> None:
        self._world, self.actor, self._number, self.queue = world, actor, number, queue
        self._starts = 0
        self.lost: list[str] = []
        self.failure = ""
        self.start()

    def start(self) -> None:
        """Begin anew, with an owner that nobody has had."""
        self._starts += 1
        self.process = Process(f"w{self._number}.{self._starts}")
        self.is_stopping = False
        self._note = Note()
        self._state = WorkerState(self.process.name, "code", cast(Watch, self._note))

    @property
    def owner(self) -> str:
        """The name under which the present process leases."""
        return self.process.name

    @property
    def activity(self) -> int:
        """The key of the activity that runs, or 0."""
        return max(self._note.key, 0)

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
            self.lost.append(self.owner)
            self.start()

    def _run(self, token: int) -> None:
        process = self.process
        try:
            crashpoint("popped")
            burst = Burst(self._state, self.queue, should_stop=lambda: self.is_stopping)
            take_hint(self._state, self.queue, KIND, f"{self.queue}/{token}", burst)
            if self.is_stopping:
                process.is_dead = True
        except Killed:
            pass
        except Violation as violation:
            process.is_dead, self.failure = True, str(violation)
        except (Error, RedisError):  # what a worker does then: it ends, and its leases run out
            process.is_dead = True
            if not process.suffered and not self._world.bus.is_down:
                self.failure = f"a worker process ended:\n{traceback.format_exc()}"
        except BaseException:
            process.is_dead = True
            self.failure = f"a worker process ended:\n{traceback.format_exc()}"
        if connection.in_atomic_block or not connection.get_autocommit():
            connection.in_atomic_block = False
            connection.close()
