"""A command finds the copy that it is to work on by itself, or says in one line where it looked."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from durableweb import startup
from durableweb.home import Home, write_private
from durableweb.launcher import preparation
from tests import servers


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, in which `make run` never was."""
    monkeypatch.setattr(startup, "PROJECT", tmp_path / "checkout")
    monkeypatch.setattr(startup, "DEFAULT_HOME", tmp_path / "checkout" / ".durable")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / "checkout"


def prepared(path: Path, **recorded: str) -> Home:
    home = Home(path)
    home.create()
    home.ensure_secret(home.secret_key_file)
    write_private(home.environment_file, json.dumps(recorded))
    return home


def test_the_named_home_comes_first_and_the_checkouts_own_next(checkout: Path, tmp_path: Path) -> None:
    assert startup.find_home({}) == Home(checkout / ".durable")
    prepared(checkout / ".durable")
    other = prepared(tmp_path / "other")
    with preparation.lock(other, "http://127.0.0.1:1"):
        startup.note_running(other)
        assert startup.find_home({}) == Home(checkout / ".durable")
        assert startup.find_home({"DURABLE_HOME": "/named"}) == Home(Path("/named"))


def test_the_one_running_copy_is_found_as_long_as_it_runs_and_is_the_only_one(checkout: Path, tmp_path: Path) -> None:
    one, two = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    startup.note_running(one)
    assert startup.find_home({}) == Home(checkout / ".durable")
    with preparation.lock(one, "http://127.0.0.1:1"):
        startup.note_running(one)
        assert startup.find_home({}) == one
        with preparation.lock(two, "http://127.0.0.1:2"):
            startup.note_running(two)
            assert set(startup.list_running()) == {one, two}
            assert startup.find_home({}) == Home(checkout / ".durable")
    assert startup.list_running() == []
    note = startup.note_running(three := prepared(tmp_path / "three"))
    assert list(note.parent.iterdir()) == [note]
    assert startup.is_running(three) is False


def test_a_command_that_looks_whether_a_copy_runs_does_not_keep_one_from_starting(tmp_path: Path) -> None:
    home = prepared(tmp_path / "home")
    home.lock_file.touch(0o600)
    with home.lock_file.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.02, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with preparation.lock(home, "http://127.0.0.1:1"):
            assert startup.is_running(home)


def manage(*arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **values}
    command = [sys.executable, str(servers.PROJECT / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_wrong_home_costs_one_line_that_says_which(tmp_path: Path) -> None:
    text = refusal(manage("durable", "list", DURABLE_HOME=str(tmp_path / "wrong")))
    assert f"There is no secret key in {tmp_path / 'wrong'}, which DURABLE_HOME names." in text
    home = prepared(tmp_path / "open")
    home.secret_key_file.chmod(0o644)
    assert "so others can read it" in refusal(manage("durable", "list", DURABLE_HOME=str(home.path)))
    home.secret_key_file.chmod(0o600)
    write_private(home.environment_file, "{", replace=True)
    assert "environment.json is damaged" in refusal(manage("durable", "list", DURABLE_HOME=str(home.path)))


def test_a_server_with_a_wrong_home_says_so_in_one_line(tmp_path: Path) -> None:
    values = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(tmp_path / "wrong"), "PYTHONPATH": str(servers.PROJECT)}
    command = [sys.executable, "-m", "durableweb.server"]
    done = subprocess.run(command, env=values, cwd="/", capture_output=True, text=True, check=False, timeout=60)
    assert f"There is no secret key in {tmp_path / 'wrong'}" in refusal(done)


def test_a_foreign_settings_module_costs_one_line(tmp_path: Path) -> None:
    home = prepared(tmp_path / "home")
    done = manage("durable", "list", DURABLE_HOME=str(home.path), DJANGO_SETTINGS_MODULE="shop.settings")
    assert "DJANGO_SETTINGS_MODULE is 'shop.settings', and there is no such module; unset it." in refusal(done)


def test_settings_and_paths_of_the_start_hold_for_commands(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from durableweb.settings import *\nDURABLE_MODULES = ['mine_functions']\n")
    (tmp_path / "mine_functions.py").write_text(
        "from orchestrations import orchestrator\n@orchestrator\ndef Mine(context): ...\n"
    )
    home = prepared(tmp_path / "home", DJANGO_SETTINGS_MODULE="mine", PYTHONPATH=str(tmp_path))
    done = manage("durable", "functions", DURABLE_HOME=str(home.path))
    assert f"{tmp_path}/mine_functions.py:2" in done.stdout, done.stderr


CLIENT = """
import django, sys
from orchestrations import DurableClient as early
assert "orchestrations.store.models" not in sys.modules
def read(client: early) -> str: return client.hub
django.setup()
from orchestrations import DurableClient
client = early("mine")
assert type(client) is DurableClient and DurableClient is not early
assert isinstance(client, early) and early.start_new is DurableClient.start_new
print(read(client))
"""


def test_the_client_can_be_imported_before_django_is_ready(tmp_path: Path) -> None:
    home = prepared(tmp_path / "home")
    environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(home.path), "PYTHONPATH": str(servers.PROJECT)}
    environment["DJANGO_SETTINGS_MODULE"] = "durableweb.settings"
    command = [sys.executable, "-c", CLIENT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("mine\n", "")
