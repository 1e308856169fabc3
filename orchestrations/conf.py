"""The only reader of Django settings. Each attribute is `DURABLE_<NAME>`, read when it is first asked for.

The values below are the defaults; `checks` refuses wrong types and ranges, and names that nobody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.signals import setting_changed

PREFIX = "DURABLE_"


class Defaults:
    """Names, types, units and defaults."""

    HUB: str = "main"
    QUEUE: str = "default"
    DEFAULT_VERSION: str = ""
    ALLOW_UNREGISTERED_START: bool = False
    APPROVAL_PATTERN: str = "*approv*"
    MODULES: list[str] = []  # modules with functions besides each app's `durable`; in Django's settings only
    ADDRESS: str = ""  # under which people reach the pages, as in https://durable.example.org; for links

    PAYLOAD_BYTES: int = 1024 * 1024
    PAYLOAD_DEPTH: int = 64
    CUSTOM_STATUS_BYTES: int = 16 * 1024
    FAN_OUT: int = 10_000
    HISTORY_EVENTS: int = 200_000
    INBOX_MESSAGES: int = 10_000
    RECEIPT_SECONDS: float = 7 * 86400.0

    BURST_SECONDS: float = 1.0
    CLAIM_SIZE: int = 100
    CLAIM_SECONDS: float = 0.05
    RESULT_GROUP_SIZE: int = 500
    RESULT_GROUP_SECONDS: float = 0.02
    LIVE_BODIES: int = 1000
    ALWAYS_REPLAY: bool = False

    LEASE_SECONDS: float = 30.0
    BEAT_SECONDS: float = 5.0
    TURN_SECONDS: float = 10.0
    ACTIVITY_SECONDS: float = 3600.0
    STOP_SECONDS: float = 10.0
    ASYNC_ACTIVITIES: int = 100
    THREADS: int = 8
    LOST_TURNS: int = 5
    LOST_ATTEMPTS: int = 5
    WAKE_SECONDS: float = 1.0
    SWEEP_SECONDS: float = 1.0


RANGES: dict[str, tuple[float, float]] = {
    "PAYLOAD_BYTES": (1024, 10 * 1024 * 1024),
    "PAYLOAD_DEPTH": (8, 512),
    "CUSTOM_STATUS_BYTES": (256, 1024 * 1024),
    "FAN_OUT": (1, 1_000_000),
    "HISTORY_EVENTS": (100, 10_000_000),
    "INBOX_MESSAGES": (10, 1_000_000),
    "RECEIPT_SECONDS": (60.0, 366 * 86400.0),
    "BURST_SECONDS": (0.01, 60.0),
    "CLAIM_SIZE": (1, 1000),
    "CLAIM_SECONDS": (0.001, 5.0),
    "RESULT_GROUP_SIZE": (1, 10_000),
    "RESULT_GROUP_SECONDS": (0.0, 5.0),
    "LIVE_BODIES": (0, 100_000),
    "LEASE_SECONDS": (0.5, 3600.0),
    "BEAT_SECONDS": (0.1, 600.0),
    "TURN_SECONDS": (0.5, 600.0),
    "ACTIVITY_SECONDS": (0.5, 30 * 86400.0),
    "STOP_SECONDS": (0.0, 3600.0),
    "ASYNC_ACTIVITIES": (1, 128),
    "THREADS": (0, 128),
    "LOST_TURNS": (1, 100),
    "LOST_ATTEMPTS": (1, 100),
    "WAKE_SECONDS": (0.1, 60.0),
    "SWEEP_SECONDS": (0.05, 60.0),
}


if TYPE_CHECKING:
    _Names = Defaults
else:
    _Names = object


class Conf(_Names):
    """Access to the settings, by the names of `Defaults`. Each is read once, and is a plain attribute from then on: a
    process does not change its settings."""

    def __getattr__(self, name: str) -> Any:
        """Return the Django setting, else the default."""
        default = getattr(Defaults, name)
        value = getattr(settings, PREFIX + name, default) if name.isupper() else default
        setattr(self, name, value)
        return value

    def forget(self, **_: Any) -> None:
        """Read the settings anew: tests change them."""
        vars(self).clear()


conf = Conf()
setting_changed.connect(conf.forget, dispatch_uid="durable.conf")


def known_names() -> list[str]:
    """Return the names of all settings, without prefix."""
    return sorted(name for name in vars(Defaults) if name.isupper())


def types() -> dict[str, type]:
    """Return name → type of all settings."""
    return {name: type(getattr(Defaults, name)) for name in known_names()}


def given_names() -> list[str]:
    """Return the names with the prefix that the project sets, without prefix."""
    return sorted(name[len(PREFIX) :] for name in dir(settings) if name.startswith(PREFIX))


def default_queue() -> str:
    """Return the name of the hub's default queue, as the database and RQ know it."""
    return queue_name(conf.HUB)


def queue_name(hub: str, queue: str | None = None) -> str:
    """Return the full name of a hub's queue; without a name that of its default queue."""
    return f"{hub}.{queue or conf.QUEUE}"


def channel_backend() -> str:
    """Return the class name of the default channel layer, or an empty text."""
    layers: dict[str, dict[str, str]] = getattr(settings, "CHANNEL_LAYERS", {})
    return layers.get("default", {}).get("BACKEND", "")


def configured_queue() -> str:
    """Return a queue name that `RQ_QUEUES` lists: all queues live in one Redis, whatever their hub is called."""
    listed: dict[str, Any] = getattr(settings, "RQ_QUEUES", {})
    return default_queue() if default_queue() in listed or not listed else next(iter(listed))
