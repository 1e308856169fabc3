"""Real servers for the tests: Valkey from its wheel and the web server; PostgreSQL is in `tests.postgres`.

All live below one private directory of the run, which child processes and parallel test processes find through
DURABLE_TEST_HOME.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from durableweb import valkey
from durableweb.home import Home
from orchestrations.runtime.processes import dying_with
from orchestrations.runtime.processes import kill_session as kill_session

SECRET_KEY = "only-for-tests-" + "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEF"
DATABASE_KINDS = ("sqlite", "postgres")
PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0


# --- places and addresses, known before anything runs ----------------------------------------------------------------
def run_directory() -> Path:
    """Return the directory of this test run; the first process names it, the others inherit the name."""
    if "DURABLE_TEST_HOME" not in os.environ:
        # short, for sockets lie in it; PostgreSQL may run as another user, who has to be let through
        path = Path(tempfile.mkdtemp(prefix="durable-"))
        path.chmod(0o711)
        os.environ["DURABLE_TEST_HOME"] = str(path)
        atexit.register(_remove, path, os.getpid())
    return Path(os.environ["DURABLE_TEST_HOME"])


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def home() -> Home:
    """Return the DURABLE_HOME of this test process; parallel ones have one each."""
    return Home(run_directory() / os.environ.get("PYTEST_XDIST_WORKER", "main"))


def database_kind() -> str:
    """Return which database this run is on."""
    kind = os.environ.get("DURABLE_TEST_DATABASE") or "sqlite"
    if kind not in DATABASE_KINDS:
        raise ValueError(f"DURABLE_TEST_DATABASE is '{kind}', but must be one of {', '.join(DATABASE_KINDS)}.")
    return kind


def is_first_variant() -> bool:
    """Return whether this is the run on SQLite with live bodies, in which what depends on neither is tested once."""
    return database_kind() == "sqlite" and not always_replays()


def always_replays() -> bool:
    """Return whether this run replays in every turn."""
    return os.environ.get("DURABLE_ALWAYS_REPLAY", "0") not in {"", "0"}


def environment() -> dict[str, str]:
    """Return the variables from which the product's settings are made in tests."""
    place = home()
    place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.ensure_secret(place.redis_password_file)
    values = {"DURABLE_HOME": str(place.path), "SECRET_KEY": SECRET_KEY, "REDIS_URL": place.redis_url}
    values["DATABASE_URL"] = postgres_url("postgres") if database_kind() == "postgres" else sqlite_url("unused.sqlite3")
    return values


def test_database_name() -> str:
    """Return the name of the test database: a file of this process, or a database that pytest-django numbers."""
    return "test_durable" if database_kind() == "postgres" else str(home().path / "test.sqlite3")


test_database_name.__test__ = False  # type: ignore[attr-defined]


def sqlite_url(name: str) -> str:
    """Return the address of a SQLite file in this test process's home."""
    return f"sqlite:///{home().path / name}"


def postgres_url(name: str) -> str:
    """Return the address of a database on this run's PostgreSQL."""
    return f"postgres://durable@/{name}?host={quote(str(postgres_directory()))}"


def postgres_directory() -> Path:
    """Return where this run's PostgreSQL keeps its data and its socket."""
    return run_directory() / "postgres"


# --- Valkey ---------------------------------------------------------------------------------------------------------
@dataclass
class RedisServer:
    """A Valkey that a test may flush, stop and start again; its address stays the same."""

    home: Home
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return self.home.redis_url

    def start(self) -> None:
        """Run the server and wait until it answers; it begins empty."""
        command = valkey.command(self.home)
        self.process = spawn(command)
        if not valkey.wait_until_it_answers(self.url, seconds=START_SECONDS):
            raise RuntimeError(f"Valkey does not answer: {' '.join(command)}")

    def stop(self) -> None:
        """Kill the server, as a crash would."""
        if self.process is not None:
            kill_session(self.process)
            self.process = None

    def flush(self) -> None:
        """Forget everything: FLUSHALL."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            client.flushall()


# --- our own processes ----------------------------------------------------------------------------------------------
def spawn(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that dies with this one."""
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": dying_with(os.getpid()), **options}
    return subprocess.Popen(command, **options)


def child_environment(**changes: str) -> dict[str, str]:
    """Return the environment for a child of the product that works on the *test* database and this run's queue."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    url = postgres_url(name) if connection.vendor == "postgresql" else f"sqlite:///{name}"
    values = {**os.environ, **environment(), "DATABASE_URL": url, "DURABLE_SAMPLES": "1"}
    values |= {"DJANGO_SETTINGS_MODULE": "durableweb.settings", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT)}
    return values | changes


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class WebServer:
    """A running web server; `log` is what it wrote."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def run_web_server(**changes: str) -> Iterator[WebServer]:
    """Run the real ASGI server against the test database, until the block ends."""
    port = free_port()
    log = home().path / f"web-{port}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "durableweb.server", "--drain", "0"]
        values = child_environment(PORT=str(port), **changes)
        process = spawn(command, env=values, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT)
    server = WebServer(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_for_http(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            kill_session(process)


def _wait_for_http(server: WebServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/healthz/live", timeout=5).close()
            return
        except (urllib.error.URLError, OSError) as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web server does not answer ({error}):\n{server.log.read_text()}") from error
            time.sleep(0.05)
