"""Which errors of the database go away by themselves, by what the database says and not by Django's class alone.

PostgreSQL: SQLSTATE classes of its manual, appendix A. SQLite: the text of its error, for its codes reach Python only
from 3.11 on, and Django's wrapper keeps the original as `__cause__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import Error, InterfaceError, OperationalError, connection

T = TypeVar("T")
TRIES = 5

LOCK_WAIT = ("55P03",)
"""`lock_timeout` has passed: somebody else keeps a row."""

CONFLICT = "40"
TRANSIENT_CLASSES = ("08", "25", "40", "53", "57", "58")
"""Connection, transaction state, rollback by conflict, resources, operator intervention, system error."""

_BUSY = ("database is locked", "database table is locked", "database schema is locked")


def is_lock_wait(error: Error) -> bool:
    """Tell whether somebody else's lock was waited for in vain."""
    return _state(error) in LOCK_WAIT or any(text in str(error) for text in _BUSY)


def is_conflict(error: Error) -> bool:
    """Tell whether the transaction was rolled back because of another one: a deadlock, a serialization failure."""
    return _state(error)[:2] == CONFLICT


def after_conflicts(action: Callable[[], T]) -> T:
    """Do it, again after each conflict, five times at most; in a transaction of the caller just once."""
    tries = 1 if connection.in_atomic_block else TRIES
    while True:
        tries -= 1
        try:
            return action()
        except OperationalError as error:
            if not tries or not is_conflict(error):
                raise


def is_transient(error: Error) -> bool:
    """Tell whether the same statement may succeed later: the connection, a conflict, a lock or the machine is at fault.

    False for what the database refuses for its content, which it would refuse again.
    """
    if is_lock_wait(error):
        return True
    state = _state(error)
    if state:
        return state[:2] in TRANSIENT_CLASSES
    return isinstance(error, OperationalError | InterfaceError) and "too big" not in str(error)


def _state(error: Error) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
