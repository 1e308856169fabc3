"""Reads environment variables strictly.

A value that is not understood stops the start with one sentence that names the variable, the value and what is
allowed: a misread setting found at the start costs a minute, found in production a night. Passwords are masked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured

YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
WEAK_KEY = "django-insecure-"
KEY_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Environment:
    """A view of environment variables. An empty value counts as absent, as it does for most command lines."""

    values: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """Return the value without surrounding blanks, or `default`."""
        return self.values.get(name, "").strip() or default

    def flag(self, name: str, *, default: bool) -> bool:
        """Return whether the variable says yes."""
        value = self.text(name).lower()
        if not value:
            return default
        if value not in YES | NO:
            refuse(name, value, "must be 1, true, yes or on, or else 0, false, no or off")
        return value in YES

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", value) or not low <= int(value) <= high:
            refuse(name, value, f"must be a whole number from {low} to {high}")
        return int(value)

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        """Return a decimal number from `low` to `high`."""
        value = self.text(name)
        if not value:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,9})?", value) or not low <= float(value) <= high:
            refuse(name, value, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def items(self, name: str, default: Iterable[str] = ()) -> list[str]:
        """Return the parts of a comma-separated list."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()] or list(default)

    def queues(self, name: str, default: Iterable[str]) -> list[str]:
        """Return a list of full names of queues: a bare name would be a queue that nothing is ever put into."""
        found = self.items(name, default)
        for value in found:
            if not all(value.partition(".")):
                refuse(name, value, f"must list names of queues as <hub>.<queue>, such as main.{value.strip('.')}")
        return found

    def url(self, name: str, default: str, *, schemes: Iterable[str]) -> str:
        """Return a URL of one of `schemes`."""
        value = self.text(name, default)
        if value:
            _check_url(name, value, sorted(schemes))
        return value

    def origins(self, name: str) -> list[str]:
        """Return a list of exact origins, each `https://host` or `https://host:port`."""
        found = self.items(name)
        for value in found:
            parts = _split(name, value)
            exact = f"{parts.scheme}://{parts.netloc}"
            if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or value != exact:
                refuse(name, value, "must be a comma-separated list of origins such as https://durable.example.org")
        return found

    def refuse_unknown(self, prefix: str, known: Iterable[str]) -> None:
        """Refuse the first variable that starts with `prefix` and is not `known`: most probably a typing mistake."""
        names = set(known)
        for name in sorted(self.values):
            if name.startswith(prefix) and name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise ImproperlyConfigured(f"The environment variable {name} is not known.{hint}")


def refuse(name: str, value: str, allowed: str) -> NoReturn:
    """Stop with the one sentence."""
    raise ImproperlyConfigured(f"The environment variable {name} is '{value}', but it {allowed}.")


def check_secret_key(key: str, source: str) -> str:
    """Return `key`; refuse one that is short or known to be a placeholder, without showing it."""
    if len(key) < KEY_LENGTH or key.startswith(WEAK_KEY) or len(set(key)) < 5:
        raise ImproperlyConfigured(
            f"{source} holds a weak key; it must have at least {KEY_LENGTH} random characters "
            f"and not start with '{WEAK_KEY}'."
        )
    return key


def masked(url: str) -> str:
    """Return `url` with its password replaced, fit for messages and logs."""
    shown = re.sub(r"(?<=://)([^/@]*?):[^/]*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", shown)


def _check_url(name: str, value: str, schemes: list[str]) -> None:
    parts = _split(name, value)
    if parts.scheme not in schemes:
        shown = ", ".join(f"{scheme}://" for scheme in schemes)
        refuse(name, masked(value), f"must start with one of {shown}")


def _split(name: str, value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        refuse(name, masked(value), f"must be a URL ({error})")
    return parts
