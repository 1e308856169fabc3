"""What the settings need to know of the product: its own settings' names, types and derived values."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from durableweb.environment import Environment, refuse

PREFIX = "DURABLE_"
PROJECT_NAMES = frozenset(
    {
        "DURABLE_HOME",  # where keys and embedded stores lie
        "DURABLE_SAMPLES",  # install the sample app
        "DURABLE_QUEUES",  # names of the queues that workers may serve
        "DURABLE_FAULTS",  # labelled crash points, for tests
        "DURABLE_TEST_DATABASE",  # for tests
        "DURABLE_TEST_HOME",
        "DURABLE_TEST_BROWSER",
        "DURABLE_CHAOS",
    }
)
DEFAULT_PAYLOAD_LIMIT = 1024 * 1024


def settings(environment: Environment) -> dict[str, Any]:
    """Return the product settings that the environment sets, by their Django names; refuse names that nobody knows."""
    known = dict(_defaults())
    if not known:
        return {}
    environment.refuse_unknown(PREFIX, PROJECT_NAMES | known.keys())
    return {name: _read(environment, name, default) for name, default in known.items() if environment.text(name)}


def payload_limit(django_settings: Mapping[str, Any]) -> int:
    """Return the number of bytes that one payload may have."""
    default = dict(_defaults()).get("DURABLE_PAYLOAD_LIMIT", DEFAULT_PAYLOAD_LIMIT)
    return int(django_settings.get("DURABLE_PAYLOAD_LIMIT", default))


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


def _defaults() -> Iterator[tuple[str, Any]]:
    if importlib.util.find_spec("orchestrations.conf") is None:
        return
    from orchestrations import conf

    for name in conf.Defaults.__annotations__:
        yield PREFIX + name, getattr(conf.Defaults, name)


def _read(environment: Environment, name: str, default: Any) -> Any:
    if isinstance(default, bool):
        return environment.flag(name, default=default)
    if isinstance(default, int):
        return environment.whole(name, default, low=0, high=2**53)
    if isinstance(default, float):
        return environment.number(name, default, low=0, high=2**53)
    if isinstance(default, str):
        return environment.text(name)
    if isinstance(default, (list, tuple)):
        return type(default)(environment.items(name))
    refuse(name, environment.text(name), "can be set in Django's settings only")
