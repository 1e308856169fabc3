"""SQLite's writers take turns at a file lock; it orders them, and nothing depends on it."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from orchestrations.runtime.retries import drop_connection
from orchestrations.runtime.surroundings import restore_connections
from orchestrations.store.models import TaskHub
from orchestrations.store.sqlite import gate
from tests.store.concurrency import beside, held_beside

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's locks have a line of their own")


def path() -> Path:
    return Path(f"{connection.settings_dict['NAME']}-gate")


def is_free() -> bool:
    """Tell whether another process could go through now."""
    with path().open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def count_files() -> int:
    """Return how often this process has the gate's file open."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells")
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(link) == str(path())
    return found


@contextmanager
def shut() -> Iterator[None]:
    """Somebody stands in the gate and does nothing."""
    with path().open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write() -> None:
    TaskHub.objects.create(name=f"hub{time.monotonic_ns()}")


def fail(*_: Any) -> None:
    raise DatabaseError("as the database might")


@pytest.fixture(autouse=True)
def _gate_exists() -> None:
    with transaction.atomic():
        write()


def _close_and_leave() -> None:
    connection.close()
    _leave(DatabaseError())


def _close_the_driver() -> None:
    assert connection.connection is not None
    connection.connection.close()
    assert restore_connections()


def _roll_back() -> None:
    transaction.set_rollback(True)
    _leave()


def _leave(error: BaseException | None = None) -> None:
    transaction.atomic().__exit__(type(error) if error else None, error, None)


ENDS: dict[str, Callable[[], object]] = {
    "a commit": _leave,
    "a roll-back": _roll_back,
    "a close": _close_and_leave,
    "a close of the driver": _close_the_driver,
    "a function that left it open": restore_connections,
    "an outage": drop_connection,
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_transaction_lets_the_next_one_in(end: str) -> None:
    transaction.atomic().__enter__()
    write()
    with transaction.atomic():  # a savepoint ends nothing
        write()
    assert not is_free()
    ENDS[end]()
    assert is_free()
    with transaction.atomic():
        write()


def test_a_transaction_that_cannot_begin_lets_the_next_one_in(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = "django.db.backends.sqlite3.base.DatabaseWrapper._start_transaction_under_autocommit"
    with monkeypatch.context() as patch:
        patch.setattr(begin, fail)
        with pytest.raises(DatabaseError):
            transaction.atomic().__enter__()
    assert is_free()


def test_a_writer_waits_at_the_gate_and_not_in_the_busy_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()

    def pause(seconds: float) -> None:
        waits.set()
        time.sleep(seconds)

    def second() -> None:
        with transaction.atomic():
            write()

    monkeypatch.setattr(gate, "_pause", pause)
    with held_beside(write) as finish:
        waiting = beside(second)
        assert waits.wait(10.0)
        assert not waiting.done()
        finish()
    waiting.result(10.0)


def test_who_cannot_have_it_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """It protects nothing, so one who stands in it, stopped or lost, costs a second and no more."""
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.1)
    with shut(), transaction.atomic():
        write()
    assert is_free()


def test_where_there_can_be_no_file_there_is_no_gate(tmp_path: Path) -> None:
    found = gate.Gate(str(tmp_path / "missing" / "db.sqlite3"))
    found.enter()
    found.leave()
    found.close()


def test_a_thread_that_ends_within_a_transaction_leaves_neither_the_gate_shut_nor_its_file_open() -> None:
    """Code of others starts threads, and does not close their connections."""

    def leave_open() -> None:
        transaction.atomic().__enter__()
        write()

    before = count_files()
    for _ in range(3):
        thread = threading.Thread(target=leave_open)
        thread.start()
        thread.join()
        gc.collect()  # Django's wrapper and what belongs to it are a circle
        assert is_free()
    assert count_files() == before


HOLDER = """
import os, sys, time
from orchestrations.store.sqlite.gate import Gate
found = Gate(sys.argv[1])
found.enter()
if "fork" not in sys.argv or os.fork() == 0:  # a child has parted from its parent when it speaks
    print("inside", flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize("forks", [False, True])
def test_a_killed_process_is_not_inside_any_more_nor_is_its_child(forks: bool) -> None:
    database = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-c", HOLDER, database, *(["fork"] if forks else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "inside\n"
        assert not is_free()
        process.kill()
        process.wait()
        assert is_free()
    finally:
        process.stdout.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_worker_steps_aside_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others write meanwhile it does in one commit."""
    pauses: list[float] = []
    monkeypatch.setattr(gate, "_is_polite", True)
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(gate, "_pause", pauses.append)
    with shut(), transaction.atomic():
        write()
    assert pauses[:4] == [gate.POLITE_PAUSE] * 4
    assert max(pauses[4:]) <= gate.LONGEST_PAUSE
