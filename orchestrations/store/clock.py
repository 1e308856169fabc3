"""The database's clock, so that hosts whose clocks differ agree on what is due and which lease has run out.

Asking it costs a statement, so the offset to this process's monotonic clock is measured and kept for a while.
On SQLite every process shares the machine's clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection

MEASURE_EVERY_SECONDS = 30.0

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_offset: float | None = None
_measured = 0.0
_highest = EPOCH


def now() -> datetime:
    """Return the database's time as aware UTC; it never goes back within a process."""
    global _highest
    found = datetime.now(UTC) if connection.vendor == "sqlite" else _from_offset()
    _highest = max(_highest, found)
    return _highest


def local_now() -> datetime:
    """Return this machine's time as aware UTC: for what is told, and decides nothing, and must not wait."""
    return datetime.now(UTC)


def _from_offset() -> datetime:
    global _offset, _measured
    monotonic = time.monotonic()
    if _offset is None or monotonic - _measured > MEASURE_EVERY_SECONDS:
        with connection.cursor() as cursor:
            before = time.monotonic()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            found = float(cursor.fetchone()[0])
        # the answer was right at some instant in between: half of the way is the best guess, and a pause halves too
        _offset = found - (before + time.monotonic()) / 2
        _measured = monotonic
    return EPOCH + timedelta(seconds=_offset + monotonic)
