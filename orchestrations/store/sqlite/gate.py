"""A file lock before SQLite's write lock, so that writers take turns without sleeping in SQLite's busy handler.

That one sleeps 1, 2, 5 … 100 ms between its looks while the lock is free again and taken by somebody else. Here a
client looks every millisecond or sooner. A worker steps aside for a moment instead: who starts instances one by one
goes first, and the worker then does more of them in one commit.

The gate is a courtesy and protects nothing: SQLite's own lock does. So nobody waits at it for long, and who cannot have
it goes on without.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from weakref import WeakSet

POLITE_PAUSE, POLITE_PAUSES = 0.005, 4
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0001, 0.001
PATIENCE_SECONDS = 1.0

_pause = time.sleep

_open: WeakSet[Gate] = WeakSet()
_is_polite = False


def step_aside() -> None:
    """Let this process's writers wait for others first, for it works through what they have written."""
    global _is_polite
    _is_polite = True


class Gate:
    """One connection's key to the gate of its database, which has none if its name is empty.

    The kernel lets go of it when the process ends.
    """

    def __init__(self, database: str) -> None:
        self._path = f"{database}-gate" if database else ""
        self._handle: int | None = None
        self._is_ours = False

    def enter(self) -> None:
        """Wait until nobody else is inside, for a second at most."""
        if self._is_ours or not self._is_there():
            return
        give_up = time.monotonic() + PATIENCE_SECONDS
        pauses = [POLITE_PAUSE] * POLITE_PAUSES if _is_polite else []
        pause = SHORTEST_PAUSE
        while not self._take() and time.monotonic() < give_up:
            _pause(pauses.pop() if pauses else pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def leave(self) -> None:
        """Let the next one in."""
        if self._is_ours and self._handle is not None:
            self._is_ours = False
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    @contextmanager
    def left_after(self) -> Iterator[None]:
        """Leave at the end of the block, however it ends."""
        try:
            yield
        finally:
            self.leave()

    def close(self) -> None:
        """Leave, and give the key back."""
        handle, self._handle, self._is_ours = self._handle, None, False
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        """Nobody closes the connection of a thread that has ended: with it the key goes, too."""
        self.close()

    def _is_there(self) -> bool:
        """Open the file if need be; where that cannot be, there is no gate."""
        if self._handle is None:
            if not self._path:
                return False
            try:
                self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return False
            _open.add(self)
        return True

    def _take(self) -> bool:
        assert self._handle is not None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._is_ours = True
        return True


class GatedConnection(sqlite3.Connection):
    """The driver's connection; whatever ends a transaction or the connection lets the next writer in."""

    gate = Gate("")

    def commit(self) -> None:
        """See `sqlite3.Connection.commit`."""
        with self.gate.left_after():
            super().commit()

    def rollback(self) -> None:
        """See `sqlite3.Connection.rollback`."""
        with self.gate.left_after():
            super().rollback()

    def close(self) -> None:
        """See `sqlite3.Connection.close`."""
        with closing(self.gate):
            super().close()


def _part_from_parent() -> None:
    """A forked child would keep its parent's locks after the parent's death."""
    for gate in list(_open):
        gate.close()


os.register_at_fork(after_in_child=_part_from_parent)
