"""The database's clock, so that hosts whose clocks differ agree on what is due and which lease has run out.

Asking it costs a statement, so the offset to this process's monotonic clock is measured and kept for a while.
On SQLite every process shares the machine's clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from django.db import connection

MEASURE_EVERY_SECONDS = 30.0

_epoch = datetime(1970, 1, 1, tzinfo=UTC)
_offset: float | None = None
_measured = 0.0
_highest = _epoch


def now() -> datetime:
    """Return the database's time as aware UTC; it never goes back within a process."""
    global _highest
    found = datetime.now(UTC) if connection.vendor == "sqlite" else _from_offset()
    _highest = max(_highest, found)
    return _highest


def _from_offset() -> datetime:
    global _offset, _measured
    monotonic = time.monotonic()
    if _offset is None or monotonic - _measured > MEASURE_EVERY_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            _offset = float(cursor.fetchone()[0]) - time.monotonic()
        _measured = monotonic
    return _epoch + timedelta(seconds=_offset + monotonic)
