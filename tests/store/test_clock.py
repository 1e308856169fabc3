"""The database's time, as every process knows it."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection

from orchestrations.store import clock


def test_it_is_the_database_s_time_and_never_goes_back() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("every process shares the machine's clock")
    first = clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        told = cursor.fetchone()[0]
    assert abs(told - first) < timedelta(seconds=1)
    assert clock.now() >= first


def test_it_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands still then; leases and timers are the database's, whose machine may be another."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("only Linux has a clock that goes on")
    clock.now()
    asleep = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: asleep)
    before = clock.now()
    time.sleep(0.3)
    assert clock.now() - before >= timedelta(seconds=0.25)
