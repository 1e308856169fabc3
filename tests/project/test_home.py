"""DURABLE_HOME: private, made once, kept."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from durableweb.home import SOCKET_PATH_LIMIT, Home, read_private, write_private
from tests import servers


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_and_its_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "new" / "home")
    home.create()
    first = home.ensure_secret(home.secret_key_file)
    assert mode(home.path) == 0o700
    assert mode(home.secret_key_file) == 0o600
    assert len(first) >= 50
    assert home.ensure_secret(home.secret_key_file) == first


@pytest.mark.parametrize("shared", [0o640, 0o604, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, shared: int) -> None:
    file = tmp_path / "secret_key"
    file.write_text("x" * 60)
    file.chmod(shared)
    with pytest.raises(ImproperlyConfigured, match=f"mode {shared:o}, so others can read it; make it private"):
        read_private(file)


def test_a_directory_that_others_can_enter_and_that_holds_something_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "something").write_text("of somebody")
    with pytest.raises(ImproperlyConfigured, match="choose another DURABLE_HOME"):
        Home(tmp_path).create()
    assert mode(tmp_path) == 0o755


def test_a_write_replaces_a_file_as_a_whole_or_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    write_private(file, "one")
    write_private(file, "two")
    assert read_private(file) == "one"
    write_private(file, "three", replace=True)
    assert read_private(file) == "three"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 40))
    assert len(os.fsencode(home.redis_socket)) <= SOCKET_PATH_LIMIT
    assert home.redis_socket != Home(tmp_path / ("other" * 40)).redis_socket


def start(home: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process with nothing but `values` in its environment."""
    environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(home), **values}
    script = "from durableweb import settings; print(settings.DATABASES['default']['NAME'], settings.PORT)"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, cwd=servers.PROJECT, capture_output=True, text=True, check=False)


def test_there_is_no_start_without_a_key(tmp_path: Path) -> None:
    done = start(tmp_path)
    assert done.returncode != 0
    assert "There is no secret key" in done.stderr


def test_the_server_leaves_this_machine_only_behind_tls(tmp_path: Path) -> None:
    done = start(tmp_path, SECRET_KEY=servers.SECRET_KEY, BIND="0.0.0.0")
    assert "BIND is '0.0.0.0', but it may leave this machine only behind a TLS proxy" in done.stderr
    done = start(tmp_path, SECRET_KEY=servers.SECRET_KEY, BIND="0.0.0.0", PUBLIC_ORIGINS="https://d.example", DEBUG="1")
    assert "DEBUG is 'on', but it must be off" in done.stderr
    done = start(tmp_path, SECRET_KEY=servers.SECRET_KEY, BIND="0.0.0.0", PUBLIC_ORIGINS="https://d.example")
    assert done.returncode == 0, done.stderr


def test_a_command_finds_by_the_home_alone_how_the_copy_was_started(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.ensure_secret(home.secret_key_file)
    write_private(home.environment_file, '{"PORT": "8137", "DATABASE_URL": "sqlite:////elsewhere/d.sqlite3"}')
    assert start(home.path).stdout.split() == ["/elsewhere/d.sqlite3", "8137"]
    assert start(home.path, PORT="9000").stdout.split() == ["/elsewhere/d.sqlite3", "9000"]
