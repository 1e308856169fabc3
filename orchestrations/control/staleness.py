"""Is what a person saw still true in the way that matters for acting on it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrations.client.status import InstanceDetail
from orchestrations.control.audit import Deed
from orchestrations.engine.state import Status
from orchestrations.errors import StaleRevisionError

VERBS = {
    "suspend": "suspended it",
    "resume": "resumed it",
    "terminate": "terminated it",
    "approve": "approved",
    "reject": "rejected",
    "start": "started it",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the page showed from which an operation comes."""

    revision: int
    status: Status


def require_fresh(instance: InstanceDetail, seen: Seen | None, deeds: Sequence[Deed]) -> None:
    """Raise `StaleRevisionError` if the instance's status is no longer the one that was seen.

    A running instance gains revisions all the time, so a higher one alone refuses nothing; nor does beginning to run.
    """
    if seen is None or instance.revision == seen.revision or instance.status == seen.status:
        return
    if seen.status == Status.PENDING and instance.status == Status.RUNNING:
        return
    what = _what_changed(instance, seen, deeds)
    raise StaleRevisionError(instance.instance_id, seen.revision, instance.revision, what)


def moment(at: datetime) -> str:
    """Return an instant as people read it in a sentence."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _what_changed(instance: InstanceDetail, seen: Seen, deeds: Sequence[Deed]) -> str:
    since = (deed for deed in deeds if deed.action in VERBS and deed.detail.get("revision", 0) >= seen.revision)
    deed = next(since, None)
    now = f"it was {seen.status} and is {instance.status} since {moment(instance.updated_at)}"
    if deed is None:
        return f"{now}."
    reason = f" ({deed.reason})" if deed.reason else ""
    return f"{deed.actor} {VERBS[deed.action]} at {moment(deed.at)}{reason}; {now}."
