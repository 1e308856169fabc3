"""The programs that make up a running copy, and the environment they share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from durableweb import valkey
from durableweb.home import Home
from durableweb.startup import PROJECT, SETTINGS
from orchestrations.conf import PREFIX, Defaults
from orchestrations.runtime.processes import Child

WORKERS = 2
STOP_MARGIN_SECONDS = 8.0

RECORDED_NAMES = frozenset(
    {
        *("ALLOWED_HOSTS", "BIND", "DATABASE_URL", "DEBUG", "LOG_LEVEL", "PORT", "PUBLIC_ORIGINS", "REDIS_URL"),
        *("SECRET_KEY", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"),
    }
)
"""With everything that starts with DURABLE_: what commands must see as we do."""


def samples(home: Home) -> list[tuple[str, str]]:
    """Return name and JSON input of what is started once in the life of a home, so that its first page is not empty."""
    return [
        ("E1_HelloSequence", "null"),
        ("E2_CountTree", json.dumps(str(PROJECT / "orchestrations"))),
        ("E3_Monitor", json.dumps({"path": str(home.path / "create-me"), "pause_seconds": 5})),
        ("E4_Approval", json.dumps({"subject": "The first approval of this home"})),
    ]


def shared_environment(
    given: Mapping[str, str], home: Home, port: int, apps: Sequence[str] = (), queues: Sequence[str] = ()
) -> dict[str, str]:
    """Return what all parts run with. Paths are full, for parts and commands may run anywhere."""
    paths = [os.path.abspath(path) for path in given.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        "DURABLE_SAMPLES": "1",
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        **given,
        "DURABLE_HOME": str(home.path),
        "DURABLE_APPS": ",".join(apps),
        "DURABLE_QUEUES": ",".join(queues),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(PROJECT), *paths])),
    }


def recorded_part(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a later command in the same home has to know."""
    return {
        name: value
        for name, value in environment.items()
        if (name in RECORDED_NAMES or name.startswith(PREFIX)) and name != "DURABLE_HOME" and value
    }


def queue(home: Home, environment: Mapping[str, str]) -> Child:
    """The embedded Valkey."""
    return Child("the queue (Valkey)", valkey.command(home), environment, is_foundation=True)


def web(home: Home, environment: Mapping[str, str]) -> Child:
    """The web server. Nobody balances load before it here, so it need not drain."""
    command = [sys.executable, "-m", "durableweb.server", "--drain", "0"]
    command += ["--access-log", str(home.path / "access.log")]
    return Child("the web server", command, environment, runs_functions=True)


def workers(environment: Mapping[str, str], queues: Sequence[str]) -> list[Child]:
    """A worker supervisor for each queue that is named, or one for the default queue.

    It has its grace for what runs, and then some seconds to give back the rest.
    """
    grace = float(environment.get(f"{PREFIX}STOP_SECONDS") or Defaults.STOP_SECONDS)

    def supervisor(name: str, *arguments: str) -> Child:
        command = manage("durable_worker", "--workers", str(WORKERS), *arguments)
        return Child(name, command, environment, stop_seconds=grace + STOP_MARGIN_SECONDS, runs_functions=True)

    if not queues:
        return [supervisor("the worker supervisor")]
    return [supervisor(f"the worker supervisor of {queue}", "--queue", queue) for queue in queues]


def changes(environment: Mapping[str, str], apps: Sequence[str]) -> Child:
    """What sees when one's own functions change."""
    return Child("the file watcher", [sys.executable, "-m", "durableweb.launcher.changes", *apps], environment)


def manage(*arguments: str) -> list[str]:
    """Return the command line of a management command."""
    return [sys.executable, str(PROJECT / "manage.py"), *arguments]
