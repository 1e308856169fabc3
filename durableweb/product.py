"""What the settings need to know of the product: its own settings' names, types and derived values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from durableweb.environment import Environment, refuse
from orchestrations.conf import PREFIX, RANGES, Defaults, known_names

PROJECT_NAMES = frozenset(
    {
        "DURABLE_HOME",  # where keys and embedded stores lie
        "DURABLE_SAMPLES",  # install the sample app
        "DURABLE_APPS",  # one's own apps, files and modules with functions
        "DURABLE_QUEUES",  # names of the queues that workers may serve
        "DURABLE_FAULTS",  # labelled crash points, for tests
        "DURABLE_TEST_DATABASE",  # for tests
        "DURABLE_TEST_HOME",
        "DURABLE_TEST_BROWSER",
        "DURABLE_CHAOS",
    }
)


def settings(environment: Environment) -> dict[str, Any]:
    """Return the product settings that the environment sets, by their Django names; refuse names that nobody knows."""
    environment.refuse_unknown(PREFIX, PROJECT_NAMES | {PREFIX + name for name in known_names()})
    given = [name for name in known_names() if environment.text(PREFIX + name)]
    return {PREFIX + name: _read(environment, name) for name in given}


def payload_limit(django_settings: Mapping[str, Any]) -> int:
    """Return the number of bytes that one payload may have."""
    return int(django_settings.get("DURABLE_PAYLOAD_BYTES", Defaults.PAYLOAD_BYTES))


def channel_prefix(redis_url: str) -> str:
    """Return a prefix for channel names: publishing ignores Redis' database numbers, so the name has to carry it."""
    parts = urlsplit(redis_url)
    number = parse_qs(parts.query).get("db", [""])[0]
    if not number and parts.scheme != "unix":
        number = parts.path.removeprefix("/")
    return f"durable{number or '0'}"


def host_of(origin: str) -> str:
    """Return the host name in an origin, in the form that Django compares with."""
    host = urlsplit(origin).hostname or ""
    return f"[{host}]" if ":" in host else host


def _read(environment: Environment, name: str) -> bool | int | float | str:
    """Return the variable's value in the type of the setting's default and within its range."""
    variable, default = PREFIX + name, getattr(Defaults, name)
    low, high = RANGES.get(name, (0, 2**53))
    if isinstance(default, bool):
        return environment.flag(variable, default=default)
    if isinstance(default, int):
        return environment.whole(variable, default, low=int(low), high=int(high))
    if isinstance(default, float):
        return environment.number(variable, default, low=low, high=high)
    if isinstance(default, str):
        return environment.text(variable)
    refuse(variable, environment.text(variable), "can be set in Django's settings only")
