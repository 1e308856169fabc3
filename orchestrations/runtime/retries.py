"""What to do about an error of the database: try again after a lock wait, come back after an outage."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError, connections

from orchestrations import telemetry
from orchestrations.store import clock, retry

T = TypeVar("T")

TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


def through_locks(action: Callable[[], T]) -> T:
    """Do it, again after each lock wait, five times at most; the last error and every other one are raised.

    The action must be one transaction, or several that may be done again.
    """
    for number in range(1, TRIES):
        try:
            return action()
        except OperationalError as error:
            if not (retry.is_lock_wait(error) or retry.is_conflict(error)):
                raise
            telemetry.report(telemetry.LOCK_WAITED, level=logging.WARNING, error=error, tries=number)
            clock.sleep(random.random() * 0.05 * 2**number)
    return action()


def through_outage(action: Callable[[], T], *, give_up: Callable[[], bool], pulse: Callable[[], None]) -> T | None:
    """Do it until the database lets it be done; None if `give_up` says so before. `pulse` is called at every try."""
    pause = FIRST_PAUSE
    while True:
        pulse()
        try:
            return action()
        except Error as error:
            telemetry.report(telemetry.DATABASE_FAILED, level=logging.WARNING, error=error)
            drop_connection()
        if give_up():
            return None
        clock.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def drop_connection() -> None:
    """Close this thread's connections, whatever state they are in: the next statement opens a new one."""
    for connection in connections.all(initialized_only=True):
        connection.in_atomic_block = False
        try:
            connection.close()
        except (Error, InterfaceError):
            connection.connection = None
