"""After each fault: nothing is lost, and throughput is back soon. How soon is printed; `make chaos` takes longer.

A ping is an instance of one activity, started every tenth of a second by somebody who waits for each. Throughput is
back when the last ping that took longer than a second has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, connection, connections

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.store.models import ActivityTask, Instance, Schedule
from tests import servers
from tests.project.test_launcher import Copy, run_copy
from tests.workers import run_workers, wait_until

IS_FULL = os.environ.get("DURABLE_CHAOS") == "full"
PAUSE = 12.0 if IS_FULL else 5.0
LOCK_SECONDS = 8.0 if IS_FULL else 3.0
LEASE_SECONDS = 3.0
SETTINGS = {"DURABLE_LEASE_SECONDS": f"{LEASE_SECONDS:g}", "DURABLE_BEAT_SECONDS": "0.5"}
SLOW_SECONDS = 1.0
ALLOWANCE = 10.0
"""What a busy machine may take to start a process, above what the rules allow."""

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("transactional_db", "redis_server")]


class Pings(threading.Thread):
    """Starts instances one after the other, from a thread and connection of its own, and notes how long each took."""

    def __init__(self, name: str = "call", client_input: Any = "echo") -> None:
        super().__init__(daemon=True)
        self._name, self._input = name, client_input
        self.is_over = False
        self.done: list[tuple[float, float]] = []

    def run(self) -> None:
        try:
            while not self.is_over:
                began = time.monotonic()
                instance_id = self._insist(lambda: DurableClient().start_new(self._name, client_input=self._input))
                while not self._insist(lambda i=instance_id: is_over(i)):  # type: ignore[misc]
                    time.sleep(0.02)
                self.done.append((began, time.monotonic()))
                time.sleep(0.1)
        finally:
            connections.close_all()

    def _insist(self, action: Callable[[], Any]) -> Any:
        """A client tries again, too."""
        while True:
            try:
                return action()
            except Error:
                connection.close()
                time.sleep(0.1)

    def seconds_to_return(self, fault_ended: float) -> float:
        """Return how long after the fault's end the last slow ping ended."""
        slow = [end for begin, end in self.done if end - begin > SLOW_SECONDS and end > fault_ended]
        return max(slow, default=fault_ended) - fault_ended


def is_over(instance_id: str) -> bool:
    """Return whether the instance has ended."""
    found = queries.read_status(DurableClient().hub, instance_id)
    return found is not None and found.is_terminal


@contextlib.contextmanager
def pings_beside(what: str, limit: float) -> Iterator[Callable[[], None]]:
    """Ping while the block does harm; it calls what it is given when the harm is over. Then throughput must return."""
    pings, ended = Pings(), [0.0]
    pings.start()
    wait_until(lambda: len(pings.done) >= 3, 30.0)

    def note_end() -> None:
        ended[0] = time.monotonic()

    yield note_end
    before = len(pings.done)
    wait_until(lambda: len(pings.done) >= before + 10, 60.0)
    pings.is_over = True
    pings.join(30.0)
    seconds = pings.seconds_to_return(ended[0])
    print(f"{what}: throughput is back {seconds:.1f} s after the fault ({connection.vendor})", file=sys.stderr)
    assert seconds <= limit + ALLOWANCE
    connection.close()
    failed = Instance.objects.exclude(status="Completed").values_list("instance_id", "status")
    wait_until(lambda: not failed.exists(), 30.0, lambda: str(list(failed)))
    assert not ActivityTask.objects.exists()
    assert not Schedule.objects.exclude(due_at=None).exists()


def test_a_worker_that_is_stopped_beyond_its_lease() -> None:
    with run_workers(2, **SETTINGS) as workers, pings_beside("a stopped worker", LEASE_SECONDS) as note_end:
        pid = workers.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE)
        os.kill(pid, signal.SIGCONT)
        note_end()


def test_a_supervisor_that_is_killed() -> None:
    with run_workers(1, **SETTINGS) as one, run_workers(1, **SETTINGS):
        with pings_beside("a killed supervisor", LEASE_SECONDS) as note_end:
            one.process.kill()
            one.process.wait()
            note_end()
            time.sleep(1.0)
        one.was_killed = True


def test_backends_that_are_terminated() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server")
    with run_workers(2, **SETTINGS) as workers, pings_beside("terminated backends", 5.0) as note_end:
        before = set(workers.pids())
        for _ in range(4):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            time.sleep(0.5)
        note_end()
        assert set(workers.pids()) == before  # no worker process is spent on it


def test_a_database_server_that_crashes_and_recovers() -> None:
    """The postmaster takes a killed backend for a crash: it ends all others at once and recovers from its log."""
    if connection.vendor == "sqlite":
        pytest.skip("there is no server")
    with run_workers(2, **SETTINGS) as workers, pings_beside("a crashed database", 5.0) as note_end:
        before = set(workers.pids())
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = int(cursor.fetchone()[0])
        os.kill(pid, signal.SIGKILL)
        connection.close()
        wait_until(_can_be_asked, 30.0)
        note_end()
        assert set(workers.pids()) == before


def _can_be_asked() -> bool:
    try:
        return Instance.objects.count() >= 0
    except Error:
        connection.close()
        return False


def test_a_lock_that_somebody_holds() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("there is no lock of everything")
    with run_workers(2, **SETTINGS) as workers, pings_beside("a held lock", 5.0) as note_end:
        before = set(workers.pids())
        other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None, timeout=20.0)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(LOCK_SECONDS)
        other.execute("COMMIT")
        other.close()
        note_end()
        assert set(workers.pids()) == before


def test_a_queue_that_is_away(redis_server: servers.RedisServer) -> None:
    with run_workers(2, **SETTINGS) as workers, pings_beside("a queue that was away", 5.0) as note_end:
        before = set(workers.pids())
        redis_server.stop()
        time.sleep(PAUSE / 2)
        redis_server.start()
        note_end()
        assert set(workers.pids()) == before


def test_workers_that_start_while_the_queue_is_away(redis_server: servers.RedisServer) -> None:
    redis_server.stop()
    with run_workers(1, **SETTINGS) as workers:
        before = workers.pids()
        instance_id = DurableClient().start_new("plain")
        time.sleep(1.0)
        redis_server.start()
        wait_until(lambda: is_over(instance_id), 5.0 + ALLOWANCE, workers.said)
        assert workers.pids() == before


def test_a_launcher_that_is_killed_and_started_again(tmp_path: Path) -> None:
    with copy_on_the_test_database(tmp_path) as copy:
        copy.wait_until_welcome()
        pings = Pings("E1_HelloSequence", None)
        pings.start()
        wait_until(lambda: len(pings.done) >= 3, 30.0, copy.said)
        copy.process.kill()
        copy.process.wait()
    with copy_on_the_test_database(tmp_path) as copy:
        copy.wait_until_welcome(count=2)
        ended, before = time.monotonic(), len(pings.done)
        wait_until(lambda: len(pings.done) >= before + 5, 60.0, copy.said)
        pings.is_over = True
        pings.join(30.0)
        seconds = pings.seconds_to_return(ended)
        print(f"a killed launcher: throughput is back {seconds:.1f} s after the next start", file=sys.stderr)
        assert seconds <= LEASE_SECONDS + ALLOWANCE
        assert copy.stop() == 0


@contextlib.contextmanager
def copy_on_the_test_database(folder: Path) -> Iterator[Copy]:
    """Run the whole product, as `make run` does, on the test's database, without its own first instances."""
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "samples_started").touch(mode=0o600)
    values = servers.child_environment()
    with run_copy(home, DATABASE_URL=values["DATABASE_URL"], DURABLE_SAMPLES="1", **SETTINGS) as copy:
        yield copy
