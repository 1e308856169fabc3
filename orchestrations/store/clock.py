"""The one clock of store and runtime: the database's time, for what is due and leased, and time that only passes.

Hosts whose clocks differ must agree on what is due and which lease has run out. Asking the database costs a statement,
so the offset to a clock of this machine is measured and kept for a while. On SQLite every process shares the
machine's clock. `kept_by` puts another source in its place, for tests whose time is simulated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.db import connection

from orchestrations.store import sql

MEASURE_EVERY_SECONDS = 30.0
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the database's time as aware UTC; it never goes back."""

    def estimate(self) -> datetime:
        """Return the same without asking anybody, so that it cannot fail: as exact as what is known already."""

    def monotonic(self) -> float:
        """Return seconds since some instant."""

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""


def _ticks() -> float:
    """Return seconds of a clock that never goes back and, on Linux, goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class DatabaseClock:
    """The database's time as this process estimates it, and the process's own monotonic time."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._measured = 0.0
        self._highest = EPOCH
        self.monotonic, self.sleep = time.monotonic, time.sleep

    def now(self) -> datetime:
        """Return the database's time as aware UTC; it never goes back within a process."""
        if sql.is_postgres() and (self._offset is None or _ticks() - self._measured > MEASURE_EVERY_SECONDS):
            self._measure()
        return self.estimate()

    def estimate(self) -> datetime:
        """Return the database's time by the last measurement; before the first one this machine's."""
        if self._offset is None and sql.is_postgres():
            return datetime.now(UTC)
        found = datetime.now(UTC) if self._offset is None else EPOCH + timedelta(seconds=self._offset + _ticks())
        self._highest = max(self._highest, found)
        return self._highest

    def _measure(self) -> None:
        with connection.cursor() as cursor:
            before = _ticks()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            found = float(cursor.fetchone()[0])
        # the answer was right at some instant in between: half of the way is the best guess, a pause halves too
        self._measured = _ticks()
        self._offset = found - (before + self._measured) / 2


_source: Source = DatabaseClock()


def now() -> datetime:
    """Return the database's time as aware UTC; it never goes back within a process."""
    return _source.now()


def estimate() -> datetime:
    """Return the database's time as it was last known here, without asking: for where no statement may be run, as in an
    event loop, or none may fail, as between an activity's end and its outcome. It never goes back within a process."""
    return _source.estimate()


def local_now() -> datetime:
    """Return this machine's time as aware UTC: for what is told, and decides nothing, and must not wait."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds since some instant, for durations and pauses within this process."""
    return _source.monotonic()


def sleep(seconds: float) -> None:
    """Let so many seconds pass in this thread."""
    _source.sleep(seconds)


@contextmanager
def kept_by(source: Source) -> Iterator[None]:
    """Take all time from `source` until the block ends."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
