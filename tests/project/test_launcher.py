"""`make run`'s program as people meet it: a whole copy in a new home, started, hurt, stopped and started again."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durableweb.home import Home
from durableweb.launcher import parts
from tests import servers
from tests.project.test_watch import is_alive, wait_for

pytestmark = pytest.mark.slow


class Copy:
    """A running copy."""

    def __init__(self, home: Path, port: int, *arguments: str, **values: str) -> None:
        self.home, self.port = Home(home), port
        self.log = home.parent / f"{home.name}.log"
        clean = {name: value for name, value in os.environ.items() if name not in servers.environment()}
        clean.pop("DURABLE_TEST_HOME", None)
        clean.pop("DJANGO_SETTINGS_MODULE", None)
        self.environment = {**clean, "DURABLE_HOME": str(home), "PORT": str(port), **values}
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "durableweb.launcher", *arguments]
            self.process = servers.spawn(
                command, env=self.environment, cwd=servers.PROJECT, stdout=output, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_until_welcome(self, *, count: int = 1) -> None:
        def is_welcome() -> bool:
            assert self.process.poll() is None, self.said()
            return self.said().count("durableweb runs at") == count

        wait_for(is_welcome, 60)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz/ready", timeout=5) as answer:
                return bool(json.load(answer)["ready"])
        except OSError:
            return False

    def children(self) -> dict[str, int]:
        """Return command → process id of the direct children."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "): int(pid) for pid in pids}

    def child(self, word: str) -> int:
        return next(pid for command, pid in self.children().items() if word in command)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command that knows the home and nothing else."""
        environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(self.home.path)}
        command = [sys.executable, str(servers.PROJECT / "manage.py"), *arguments]
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
        )

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def run_copy(home: Path, *arguments: str, **values: str) -> Iterator[Copy]:
    copy = Copy(home, servers.free_port(), *arguments, **values)
    try:
        yield copy
    finally:
        if copy.process.poll() is None:
            copy.stop()


def test_a_copy_starts_heals_stops_and_starts_again_with_what_it_had(tmp_path: Path) -> None:
    with run_copy(tmp_path / "home") as copy:
        copy.wait_until_welcome()
        assert copy.is_ready()
        first = {file: file.read_text() for file in (copy.home.secret_key_file, copy.home.accounts_file)}
        assert re.search(rf"http://127\.0\.0\.1:{copy.port}/sign-in/[\w-]{{40,}}/", copy.said())
        assert "(good once, for 15 minutes; a new one: .venv/bin/python manage.py durable sign-in-link)" in copy.said()
        link = copy.manage("durable", "sign-in-link", "--user", "viewer").stdout.strip()
        with urllib.request.urlopen(link, timeout=10) as page:
            assert "viewer" in page.read().decode()
        assert [line.split()[0] for line in first[copy.home.accounts_file].splitlines()] == [
            "viewer", "operator", "approver", "admin",
        ]  # fmt: skip

        done = copy.manage("durable", "start", "E1_HelloSequence", "--wait")
        assert (done.returncode, done.stdout.strip()) == (0, '["Hello Tokyo!", "Hello Seattle!"]'), done.stderr

        for word in ("durableweb.server", "durable_worker", "valkey"):
            os.kill(copy.child(word), signal.SIGKILL)
        wait_for(lambda: "starting it again" in copy.said())
        wait_for(copy.is_ready, 30)
        done = copy.manage("durable", "start", "E1_HelloSequence", "--wait")
        assert done.returncode == 0, done.stderr

        closing = (
            "from django.contrib.auth.models import User; User.objects.filter(username='admin').update(is_active=False)"
        )
        assert copy.manage("shell", "-v", "0", "-c", closing).returncode == 0
        pids = list(copy.children().values())
        assert copy.stop() == 0
        assert not any(is_alive(pid) for pid in pids)
        assert "stopped; your data is kept" in copy.said()

    with run_copy(tmp_path / "home") as again:
        again.wait_until_welcome(count=2)
        assert (
            "There is no active account 'admin'. For another: .venv/bin/python manage.py durable sign-in"
            in again.said()
        )
        assert {file: file.read_text() for file in first} == first
        assert again.manage("durable", "list").stdout.count("E1_HelloSequence") >= 2
        assert again.stop(signal.SIGINT) == 0


def test_two_copies_run_side_by_side_and_a_home_has_one(tmp_path: Path) -> None:
    with run_copy(tmp_path / "one") as one, run_copy(tmp_path / "two") as two:
        one.wait_until_welcome()
        two.wait_until_welcome()
        assert one.is_ready()
        assert two.is_ready()
        with run_copy(tmp_path / "one") as third:
            assert third.process.wait(20) == 2
            assert f"is in use by process {one.process.pid} at http://127.0.0.1:{one.port}" in third.said()


def test_nothing_outlives_a_copy_that_is_killed(tmp_path: Path) -> None:
    with run_copy(tmp_path / "home") as copy:
        copy.wait_until_welcome()
        pids = list(copy.children().values())
        assert len(pids) == 3
        copy.process.kill()
        copy.process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize("after_seconds", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_stop_while_it_is_being_prepared_is_clean(tmp_path: Path, after_seconds: float) -> None:
    with run_copy(tmp_path / "home") as copy:
        wait_for(lambda: "starting the queue" in copy.said())
        time.sleep(after_seconds)
        assert copy.stop() == 0, copy.said()


def test_given_stores_are_used_instead(tmp_path: Path, redis_server: servers.RedisServer) -> None:
    database = tmp_path / "elsewhere.sqlite3"
    with run_copy(tmp_path / "home", DATABASE_URL=f"sqlite:///{database}", REDIS_URL=redis_server.url) as copy:
        copy.wait_until_welcome()
        assert database.exists()
        assert not copy.home.database_file.exists()
        assert len(copy.children()) == 2
        done = copy.manage("durable", "start", "E1_HelloSequence", "--wait")
        assert done.returncode == 0, done.stderr


def test_a_taken_port_and_an_odd_one_stop_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        copy = Copy(tmp_path / "home", port)
        assert copy.process.wait(20) == 2
        assert f"PORT is '{port}', but it cannot be used on 127.0.0.1 (Address already in use)" in copy.said()
    copy = Copy(tmp_path / "other", 0)
    assert copy.process.wait(20) == 2
    assert "must be a whole number from 1 to 65535" in copy.said()


def test_the_record_of_a_start_names_what_commands_need_and_no_more() -> None:
    given = {"PATH": "/bin", "PORT": "1", "DURABLE_HOME": "/h", "DURABLE_CLAIM_SIZE": "7", "REDIS_URL": "redis://r"}
    assert parts.recorded_part(given) == {"PORT": "1", "DURABLE_CLAIM_SIZE": "7", "REDIS_URL": "redis://r"}
