"""Processes of the simulated world. Only one of them runs at a time: who holds the baton.

A worker's bursts run in a thread of their own, with a connection of its own; between two transactions it lays the baton
down. Whatever else acts, acts in the main thread while all workers rest. A process that has died writes nothing more:
each statement and each crash point raises `Killed` in it, so that its burst unwinds without giving anything back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from django.db import connection


class Killed(BaseException):
    """The process has died. No code under test may catch it."""


@dataclass(slots=True, eq=False)
class Process:
    """Anything that acts: a worker, a client, a supervisor. `commits` counts its transactions that took effect."""

    name: str
    is_dead: bool = False
    commits: int = 0
    suffered: int = 0
    """How many errors of the database it was given."""


class Actor:
    """A thread that runs one job after the other, each bit by bit."""

    def __init__(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._go, self._back = threading.Lock(), threading.Lock()  # locked: the other side has the baton
        self._go.acquire()
        self._back.acquire()
        self._job: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, args=(around,), daemon=True)
        self._thread.start()
        self._back.acquire()

    @property
    def is_busy(self) -> bool:
        """True while its job has not ended."""
        return self._job is not None

    @property
    def is_here(self) -> bool:
        """True in its own thread."""
        return threading.current_thread() is self._thread

    def begin(self, job: Callable[[], None]) -> None:
        """Give it a job; it begins when the baton is handed to it."""
        assert self._job is None
        self._job = job

    def resume(self) -> None:
        """Hand it the baton; return when it has laid it down or ended its job."""
        self._go.release()
        self._back.acquire()

    def pause(self) -> None:
        """Lay the baton down, in its own thread, until it is handed back."""
        self._back.release()
        self._go.acquire()

    def close(self) -> None:
        """End the thread."""
        assert self._job is None
        self.resume()
        self._thread.join()

    def _run(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        with around():
            self._back.release()
            while self._wait_for_job():
                try:
                    assert self._job is not None
                    self._job()
                finally:
                    self._job = None
                    self._back.release()
        connection.close()
        self._back.release()

    def _wait_for_job(self) -> bool:
        self._go.acquire()
        return self._job is not None
