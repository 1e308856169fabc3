"""What user code may have left behind in the process or on its connections: found, put right, and said in words.

Asked after every turn and every activity, so it must cost microseconds. Of transactions it asks the driver and not
only Django: `cursor.execute("BEGIN")` is unknown to Django. Time zone, language and other context variables need no
check, for user code runs in a copy of the context.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

FORKED_EXIT = 70
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGPIPE")
    if hasattr(signal, name)
)
LIMITS = tuple(
    getattr(resource, name)
    for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    if hasattr(resource, name)
)
IDLE = 0
"""psycopg's TransactionStatus of a connection that is in no transaction."""

_handler_of: Callable[[int], Any] = _signal.getsignal
"""What `signal.getsignal` calls; its search for an enum's name takes longer than all the rest together."""

AUDITED = frozenset({"os.chdir", "resource.setrlimit", "resource.prlimit"})
"""Events of the interpreter by which it is known that directory or limits may have changed, without a system call."""

_touched: set[int] = set()
"""Threads that have made such a change since the last look."""

_contexts: WeakKeyDictionary[Any, Context] = WeakKeyDictionary()
_inherited: list[Any] = []
_is_child = False


def context_of(owner: Any) -> Context:
    """Return the context in which code of this owner (a body) always runs, so that a live body and a replay agree."""
    found = _contexts.get(owner)
    if found is None:
        found = _contexts[owner] = copy_context()
    return found


class Surroundings:
    """A process as it was when this was made, seen from the thread that made it.

    `is_damaged`: something cannot be put right, so the process must be replaced.
    """

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._recursion = sys.getrecursionlimit()
        self._handlers = [*map(_handler_of, SIGNALS)]
        self._limits = [resource.getrlimit(limit) for limit in LIMITS]
        self._connections = connections.all() if len(connections.settings) == 1 else None
        self.is_damaged = False

    def restore(self) -> list[str]:
        """Put right what user code has left behind on this thread's connections and in the process; say what it was.

        In a child that user code has forked and let return here, the process ends: it is not the worker.
        """
        self.end_child()
        return restore_connections(self._connections) + self._restore_process()

    def close_body(self, body: Any) -> None:
        """Close a body, which runs its `finally` blocks, and put right what they leave behind; nobody is blamed."""
        try:
            context_of(body).run(body.close)
        finally:
            self.restore()

    def end_child(self) -> None:
        """End the process if user code has forked it."""
        if _is_child:
            os._exit(FORKED_EXIT)

    def _restore_process(self) -> list[str]:
        found = self._restore_place() if _touched else []
        if os.umask(self._umask) != self._umask:
            found.append("changed the umask")
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
            found.append("changed the recursion limit")
        if [*map(_handler_of, SIGNALS)] != self._handlers:
            self._restore_handlers()
            found.append("changed a signal handler")
        if signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)
            found.append("left an alarm pending")
        return found

    def _restore_place(self) -> list[str]:
        """Restore directory and limits; it is this thread's doing only if this thread has changed them."""
        found = []
        if _folder() != self._folder:
            self._mend(lambda: os.chdir(self._folder))
            found.append("changed the working directory")
        if [resource.getrlimit(limit) for limit in LIMITS] != self._limits:
            self._mend(self._restore_limits)
            found.append("changed a resource limit")
        is_ours = threading.get_ident() in _touched
        _touched.clear()
        return found if is_ours else []

    def _restore_handlers(self) -> None:
        for number, handler in zip(SIGNALS, self._handlers, strict=True):
            if handler is not None:  # else it was not installed from Python, and cannot be
                self._mend(partial(signal.signal, number, handler))

    def _restore_limits(self) -> None:
        for limit, value in zip(LIMITS, self._limits, strict=True):
            resource.setrlimit(limit, value)

    def _mend(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (OSError, ValueError):
            self.is_damaged = True


def restore_connections(known: Sequence[BaseDatabaseWrapper] | None = None) -> list[str]:
    """Roll back and close this thread's connections on which a transaction is open or that were closed by hand.

    `known`: all that the thread can have, where the caller knows.
    """
    found = []
    for connection in known or connections.all(initialized_only=True):
        if what := _leftover_of(connection):
            found.append(f"{what} '{connection.alias}'")
            forget(connection)
    return found


def forget(connection: BaseDatabaseWrapper) -> None:
    """Close the connection for good, so that the next statement opens a new one: what was open is rolled back."""
    raw, connection.connection = connection.connection, None
    connection.in_atomic_block = connection.needs_rollback = connection.closed_in_transaction = False
    connection.savepoint_ids.clear()
    connection.atomic_blocks.clear()
    connection.run_on_commit.clear()
    if raw is not None:
        with contextlib.suppress(Exception):
            raw.close()


def part_from_forks() -> None:
    """See to it that a process which user code forks from this one is no worker: for the rest of this process's life.

    It shares no connection with its parent, and dies of the signals that a worker would take for requests.
    """
    os.register_at_fork(after_in_child=_become_stranger)


def _note_change(event: str, arguments: tuple[Any, ...]) -> None:
    if event in AUDITED:
        _touched.add(threading.get_ident())


def _note_fork() -> None:
    global _is_child
    _is_child = True


sys.addaudithook(_note_change)
os.register_at_fork(after_in_child=_note_fork)


def _become_stranger() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError):  # forked from another thread than the main one
            signal.signal(number, signal.SIG_DFL)
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection.connection)  # kept: closing it would say goodbye in the parent's name
        connection.connection = None
        forget(connection)


def _leftover_of(connection: BaseDatabaseWrapper) -> str:
    raw = connection.connection
    if connection.in_atomic_block or (raw is not None and not connection.autocommit):
        return "left a transaction open (rolled back) on the database connection"
    if raw is None:
        return ""
    if _is_closed(raw):
        return "closed the driver's connection under the database connection"
    if _is_in_transaction(raw):
        return "left a transaction open (rolled back) that it began by SQL on the database connection"
    return ""


def _is_closed(raw: Any) -> bool:
    """Tell whether somebody closed it. One that broke (psycopg knows) is the database's doing."""
    if hasattr(raw, "pgconn"):
        return bool(raw.closed and not raw.broken)
    try:
        return raw.total_changes is None
    except Exception:
        return True


def _is_in_transaction(raw: Any) -> bool:
    if hasattr(raw, "pgconn"):
        return not raw.closed and raw.pgconn.transaction_status != IDLE
    return bool(getattr(raw, "in_transaction", False))


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
