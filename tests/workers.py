"""Real worker processes on the test database: a supervisor and its children, run by `manage.py durable_worker`."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from orchestrations.store.models import Worker
from tests import servers

START_SECONDS = 30.0


@dataclass
class Workers:
    """A running supervisor; `log` is what it and its workers wrote. `was_killed`: by the test, so no clean end."""

    process: subprocess.Popen[bytes]
    log: Path
    was_killed: bool = False

    def pids(self) -> list[int]:
        """Return the worker processes' ids, oldest first, as they have registered themselves."""
        return list(Worker.objects.order_by("started_at").values_list("pid", flat=True))

    def said(self) -> str:
        """Return what the supervisor and its workers have written."""
        return self.log.read_text(errors="replace")

    def kill_one(self) -> bool:
        """SIGKILL the oldest worker process that lives; False if there is none at this moment."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False


@contextlib.contextmanager
def run_workers(count: int = 2, *options: str, **changes: str) -> Iterator[Workers]:
    """Run a supervisor with `count` workers until the block ends; then it must end by itself, with exit code 0."""
    log = servers.home().path / f"workers-{time.monotonic_ns()}.log"
    values = servers.child_environment(DJANGO_SETTINGS_MODULE="tests.worker_settings", **changes)
    with log.open("wb") as output:
        command = [sys.executable, "manage.py", "durable_worker", "--workers", str(count), *options]
        process = servers.spawn(command, env=values, cwd=servers.PROJECT, stdout=output, stderr=subprocess.STDOUT)
    workers, before = Workers(process, log), set(Worker.objects.values_list("pk", flat=True))
    try:
        wait_until(
            lambda: Worker.objects.exclude(pk__in=before).count() >= count,
            START_SECONDS,
            lambda: log.read_text(errors="replace"),
        )
        yield workers
    finally:
        process.terminate()
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            servers.kill_session(process)
            code = -1
    assert code == 0 or workers.was_killed, (
        f"The supervisor ended with {code}:\n{log.read_text(errors='replace')[-4000:]}"
    )


def wait_until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str] = lambda: "") -> None:
    """Wait until the condition holds; fail with an explanation if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"It did not come to that within {seconds:g} s. {explain()[-4000:]}")
        time.sleep(0.05)


def stop_between_transactions(pid: int) -> None:
    """SIGSTOP the process, but not in the midst of a transaction: its locks would stay, SQLite's only one for all."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        os.kill(pid, signal.SIGSTOP)
        if _nobody_writes():
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError(f"Process {pid} was in a transaction at each try.")


def _nobody_writes() -> bool:
    if connection.vendor == "sqlite":
        with contextlib.closing(sqlite3.connect(servers.test_database_name(), timeout=0.5)) as beside:
            try:
                beside.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            beside.rollback()
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return bool(cursor.fetchone()[0] == 0)


def is_stopped(pid: int) -> bool:
    """Tell whether SIGSTOP holds the process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except FileNotFoundError:
        return False
