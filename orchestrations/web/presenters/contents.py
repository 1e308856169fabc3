"""What an instance holds: payloads, failures, an event's members. Pure, bounded, and it cannot throw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from orchestrations.client.status import Failure
from orchestrations.web import payloads
from orchestrations.web.payloads import PayloadView, visible

JSON_MEMBERS = ("Input", "Result", "Data")
FAILURE_CHARACTERS = 8 * 1024
FAILURE_LEVELS = 10


@dataclass(frozen=True, slots=True)
class FailureView:
    """A failure and, below it, what caused it."""

    error_type: str
    message: str
    stack: str
    is_final: bool


def payload(hub: str, instance_id: str, name: str, stored: str | None, *, whole: bool = False) -> PayloadView | None:
    """Return one of an instance's payloads, by its name in addresses."""
    url = reverse("instance-payload", args=[hub, instance_id, name])
    return payloads.present(name, name.replace("-", " ").capitalize(), stored, url, whole=whole)


def failures(failure: Failure | None) -> tuple[FailureView, ...]:
    """Return a failure and its causes, outermost first."""
    found: list[FailureView] = []
    while failure is not None and len(found) < FAILURE_LEVELS:
        message, stack = (visible(t[:FAILURE_CHARACTERS]) for t in (failure.message, failure.stack_trace))
        found.append(FailureView(visible(failure.error_type[:256]), message, stack, failure.is_non_retriable))
        failure = failure.inner
    return tuple(found)


def members(found: Mapping[str, Any]) -> tuple[PayloadView, ...]:
    """Return an event's members: JSON text as JSON, failures as people read them, everything else as it is."""
    return tuple(_member(name, value) for name, value in found.items())


def _member(name: str, value: Any) -> PayloadView:
    key, title = name.lower(), visible(name[:64])
    if isinstance(value, dict) and "ErrorType" in value:
        lines = (f"{value['ErrorType']}: {value.get('ErrorMessage', '')}", str(value.get("StackTrace") or ""))
        return payloads.plain(key, title, "\n".join(line for line in lines if line))
    if isinstance(value, str) and name not in JSON_MEMBERS:
        return payloads.plain(key, title, value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return payloads.present(key, title, text) or payloads.plain(key, title, text)
