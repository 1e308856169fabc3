"""Approvals: which waits ask for a decision, the id that makes one decision of many clicks, and who was first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from orchestrations.client.status import InstanceFacts, Wait
from orchestrations.control.audit import PastAction
from orchestrations.control.permissions import is_approval
from orchestrations.control.staleness import moment
from orchestrations.errors import AlreadyDecidedError


class Outcome(StrEnum):
    """What can be decided."""

    APPROVED = "approved"
    REJECTED = "rejected"

    @property
    def action(self) -> str:
        return "approve" if self is Outcome.APPROVED else "reject"


def list_open(instance: InstanceFacts) -> tuple[tuple[str, Wait], ...]:
    """Return decision id and wait for each decision that the instance asks for, as of its last turn.

    Of several waits of one name the next one to be served is to be decided; then, by another id, the one after it.
    """
    waits = (wait for wait in instance.waiting if wait.kind == "event" and is_approval(wait.name))
    found: dict[str, Wait] = {}
    for wait in waits:
        found.setdefault(decision_id(instance.execution_id, wait), wait)
    return tuple(found.items())


def decision_id(execution_id: str, wait: Wait) -> str:
    """Return the event id of the next decision under the wait's name: the same for everybody who sees it.

    The store accepts an event id once, so of two approvers at once exactly one decides; the lock of the instance row
    makes the other one wait for the first one's audit row.
    """
    occurrence = hashlib.sha256(f"{wait.name.casefold()}\n{wait.ordinal}".encode()).hexdigest()[:16]
    return f"decision/{execution_id}/{occurrence}"


def who_decided(instance_id: str, event_id: str, past: Sequence[PastAction]) -> AlreadyDecidedError | None:
    """Return the error that names the earlier decision under this id, or None if there was none."""
    for entry in past:
        if entry.detail.get("event_id") == event_id and entry.action in ("approve", "reject"):
            outcome = Outcome.APPROVED if entry.action == "approve" else Outcome.REJECTED
            return AlreadyDecidedError(instance_id, outcome.value, entry.actor, moment(entry.at))
    return None
