"""Is what a person saw still true in the way that matters for acting on it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrations.client.status import InstanceFacts
from orchestrations.control.audit import PastAction
from orchestrations.engine.state import Status
from orchestrations.errors import StaleRevisionError

VERBS = {
    "suspend": "suspended it",
    "resume": "resumed it",
    "terminate": "terminated it",
    "approve": "approved",
    "reject": "rejected",
    "start": "started it",
    "raise-event": "raised an event",
}


@dataclass(frozen=True, slots=True)
class ExpectedState:
    """What the page showed from which an operation comes."""

    revision: int
    status: Status


def require_current(instance: InstanceFacts, expected: ExpectedState | None, past: Sequence[PastAction]) -> None:
    """Raise `StaleRevisionError` if the instance's status is no longer the one that was expected.

    A running instance gains revisions all the time, so a higher one alone refuses nothing; nor does beginning to run.
    """
    if expected is None or instance.revision == expected.revision or instance.status == expected.status:
        return
    if expected.status == Status.PENDING and instance.status == Status.RUNNING:
        return
    what = _what_changed(instance, expected, past)
    raise StaleRevisionError(instance.instance_id, expected.revision, instance.revision, what)


def moment(at: datetime) -> str:
    """Return an instant as people read it in a sentence."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _what_changed(instance: InstanceFacts, expected: ExpectedState, past: Sequence[PastAction]) -> str:
    since = (entry for entry in past if entry.action in VERBS and entry.detail.get("revision", 0) >= expected.revision)
    entry = next(since, None)
    now = f"it was {expected.status} and is {instance.status} since {moment(instance.updated_at)}"
    if entry is None:
        return f"{now}."
    reason = f" ({entry.reason})" if entry.reason else ""
    return f"{entry.actor} {VERBS[entry.action]} at {moment(entry.at)}{reason}; {now}."
