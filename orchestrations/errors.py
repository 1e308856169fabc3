"""The exception tree. Every class says what happened; `code` is stable, and facts are attributes.

The codes and texts are listed in docs/errors.md. Surfaces map codes to HTTP statuses and exit codes, each in one table.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

SHOWN = 80
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = SHOWN


def shown(value: Any) -> str:
    """Return what somebody gave, short enough for the text of an error, however deep, long or unreadable it is."""
    try:
        return _REPR.repr(value)[:SHOWN]
    except Exception:
        return f"<{type(value).__name__} without a readable text>"


class DurableError(Exception):
    """Something that this product refuses or reports."""

    code = "durable.error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotRegisteredError(DurableError):
    """No function of that kind has that name."""

    def __init__(self, kind: str, name: str, near: Sequence[str] = ()) -> None:
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        super().__init__(f"A '{name}' {kind} was not registered.{hint}")
        self.code = f"{kind}.unknown"
        self.kind, self.name, self.near = kind, name, tuple(near)


class InstanceNotFoundError(DurableError):
    """The task hub has no instance with that id."""

    code = "instance.unknown"

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"No instance with ID '{instance_id}' found.")
        self.instance_id = instance_id


class HubNotFoundError(DurableError):
    """There is no task hub of that name."""

    code = "hub.unknown"

    def __init__(self, hub: str) -> None:
        super().__init__(
            f"There is no task hub '{hub}'. A worker makes it: 'manage.py durable_worker --queue {hub}.default'."
        )
        self.hub = hub


class InstanceExistsError(DurableError):
    """An instance with that id exists and the reuse policy does not replace it."""

    code = "instance.exists"

    def __init__(self, instance_id: str, status: str) -> None:
        super().__init__(f"An instance with ID '{instance_id}' already exists and is {status}.")
        self.instance_id, self.status = instance_id, status


class WrongStatusError(DurableError):
    """The operation does not apply to an instance in its present status."""

    def __init__(self, message: str, *, code: str, instance_id: str, status: str) -> None:
        super().__init__(message)
        self.code, self.instance_id, self.status = code, instance_id, status

    @classmethod
    def terminal(cls, instance_id: str, status: str, since: str, refused: str) -> WrongStatusError:
        """The instance has ended and takes no event, suspension or termination."""
        message = f"Instance '{instance_id}' is {status} since {since}; it takes no {refused}."
        return cls(message, code="instance.terminal", instance_id=instance_id, status=status)


class StaleRevisionError(DurableError):
    """The instance has changed since the page was rendered from which the operation comes."""

    code = "instance.changed"

    def __init__(self, instance_id: str, expected: int, found: int, what: str) -> None:
        super().__init__(f"Instance '{instance_id}' has changed since this page was made: {what}")
        self.instance_id, self.expected, self.found, self.what = instance_id, expected, found, what


class AlreadyDecidedError(DurableError):
    """Somebody else has decided this approval."""

    code = "approval.decided"

    def __init__(self, instance_id: str, decision: str, actor: str, at: str) -> None:
        super().__init__(f"Already {decision} by {actor} at {at}.")
        self.instance_id, self.decision, self.actor, self.at = instance_id, decision, actor, at


class NotWaitingError(DurableError):
    """The instance does not wait for such an event, so there is nothing to decide."""

    code = "approval.not-waiting"

    def __init__(self, instance_id: str, event_name: str) -> None:
        super().__init__(f"Instance '{instance_id}' does not wait for the event '{event_name}'.")
        self.instance_id, self.event_name = instance_id, event_name


class NondeterminismError(DurableError):
    """On replay the code asked for something else than the history holds."""

    code = "nondeterminism"

    def __init__(self, orchestrator: str, sequence: int, expected: str, found: str, hint: str = "") -> None:
        super().__init__(
            f"Non-deterministic orchestrator '{orchestrator}': at sequence number {sequence} the history holds "
            f"{expected}, but the code asked for {found}. Either the code was changed after this instance had started "
            "(deploy the code it started with, or give the change a new version), or the code decides by something "
            "that is not replayed (clock, random value, environment, I/O, order of a set). Nothing was written; the "
            f"instance continues by itself when matching code is deployed.{hint}"
        )
        self.sequence, self.expected, self.found = sequence, expected, found


class PayloadError(DurableError):
    """A value is no JSON, or larger or deeper than the limit."""

    def __init__(self, message: str, *, code: str, pointer: str = "") -> None:
        super().__init__(message)
        self.code, self.pointer = code, pointer

    @classmethod
    def too_large(cls, what: str, size: int, limit: int) -> PayloadError:
        """The value has more bytes than the limit allows."""
        advice = "Store it elsewhere and pass a reference."
        return cls(f"{what} has {size} bytes, the limit is {limit}. {advice}", code="payload.too-large")


class LimitExceededError(DurableError):
    """Something new would go beyond a limit."""

    def __init__(self, message: str, *, code: str, size: int, limit: int) -> None:
        super().__init__(message)
        self.code, self.size, self.limit = code, size, limit


class PermissionDenied(DurableError):
    """The actor may not do this."""

    code = "scope.missing"

    def __init__(self, permission: str) -> None:
        super().__init__(f"This needs the permission {permission}.")
        self.permission = permission


class InvalidError(DurableError, ValueError):
    """An argument breaks a rule: an id, a name, tags, a cursor."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class ActivityTimeoutError(DurableError, TimeoutError):
    """An attempt of an activity lasted longer than its timeout (ACT-3). Retriable."""

    code = "activity.timeout"

    def __init__(self, activity: str, seconds: float) -> None:
        super().__init__(f"Activity '{activity}' did not end within {seconds:g} s.")
        self.activity, self.seconds = activity, seconds


class LeftoverError(DurableError):
    """User code left the worker in a state that would harm what runs after it. The state was put right."""

    code = "code.leftovers"

    def __init__(self, function: str, leftovers: Sequence[str]) -> None:
        super().__init__(f"{function} {'; it '.join(leftovers)}.")
        self.function, self.leftovers = function, tuple(leftovers)


class DeadlockError(DurableError):
    """The call would wait for work that cannot begin before the call returns."""

    code = "wait.deadlock"

    def __init__(self, activity: str, instance_id: str) -> None:
        super().__init__(
            f"Activity '{activity}' would wait for instance '{instance_id}', but it occupies the only worker that "
            "could run it. Let an orchestrator call it as a sub-orchestration, declare the activity with "
            "thread=True or async def, or start more workers."
        )
        self.activity, self.instance_id = activity, instance_id
