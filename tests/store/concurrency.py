"""Races with real connections: functions beside the test's own thread, and ways to know that one of them waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from django.db import connection

T = TypeVar("T")
SECONDS = 20.0


def beside(function: Callable[[], T]) -> Future[T]:
    """Run the function in a thread with a connection of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        finally:
            connection.close()

    threading.Thread(target=run, daemon=True).start()
    return future


def run_beside(function: Callable[[], T]) -> T:
    """Run the function on another connection, to its end."""
    return beside(function).result(SECONDS)


def at_once(functions: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """Run the functions at the same moment, each on a connection of its own; return what they returned or raised."""
    barrier = threading.Barrier(len(functions))

    def start(function: Callable[[], T]) -> T:
        connection.ensure_connection()
        barrier.wait(SECONDS)
        return function()

    futures = [beside(lambda f=function: start(f)) for function in functions]  # type: ignore[misc]
    return [future.exception(SECONDS) or future.result() for future in futures]


@contextmanager
def held_beside(function: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Run the function in a transaction on another connection that stays open until the answer is called."""
    from django.db import transaction

    is_done, may_commit = threading.Event(), threading.Event()

    def run() -> T:
        try:
            outer = transaction.atomic()
            outer._from_testcase = True  # type: ignore[attr-defined]  # as TestCase's own: a durable one may be within it
            with outer:
                found = function()
                is_done.set()
                may_commit.wait(SECONDS)
            return found
        finally:
            is_done.set()

    future = beside(run)
    assert is_done.wait(SECONDS)

    def commit() -> T:
        may_commit.set()
        return future.result(SECONDS)

    try:
        yield commit
    finally:
        may_commit.set()
        future.exception(SECONDS)


def wait_until_blocked(future: Future[T], waiters: int = 1) -> None:
    """Return once so many connections wait for a lock; SQLite does not tell, so there they are given a moment."""
    if connection.vendor == "sqlite":
        time.sleep(0.05)
        return
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and not future.done():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees its first look again and again
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0] >= waiters:
                return
        time.sleep(0.005)
    raise AssertionError(f"Nobody waits for a lock: {future}")
