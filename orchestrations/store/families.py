"""Families of instances: who is below an instance, whatever has ended in between; how the end of one reaches others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrations.engine import payloads
from orchestrations.engine.events import ChildOutcome, ExecutionTerminated, SubOrchestrationInstanceFailed
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.state import LIVE
from orchestrations.store import conditions, inbox, sql
from orchestrations.store.inbox import NewMessage
from orchestrations.store.instances import INSTANCE

_LIVE = ", ".join(f"'{status}'" for status in sorted(LIVE))


def live_below(instances: Sequence[int]) -> dict[int, list[int]]:
    """Return instance → the nearest live instances below it: those under an ended one count, those under a live one
    are its own to end. One statement."""
    condition, values = conditions.among("parent_id", instances)
    rows = sql.fetch(
        f"WITH RECURSIVE family(root, id, status) AS (SELECT parent_id, id, status FROM {INSTANCE} WHERE {condition}"
        f" UNION ALL SELECT f.root, i.id, i.status FROM family f JOIN {INSTANCE} i ON i.parent_id = f.id"
        f" WHERE f.status NOT IN ({_LIVE})) SELECT root, id FROM family WHERE status IN ({_LIVE})",
        values,
    )
    found: dict[int, list[int]] = {}
    for root, key in rows:
        found.setdefault(root, []).append(key)
    return found


def lock_below(ending: Sequence[int], found: dict[int, list[int]], targets: dict[int, inbox.Target]) -> None:
    """Complete `found` (of `live_below`) and `targets` with what was put below before the locks were ours.

    Whoever held one of them may have created an instance below it; and one that was seen alive, and has ended since,
    hides those below it from the first look. So it looks again until a look finds nobody new.
    """
    while True:
        found.clear()
        found.update(live_below(ending) if ending else {})
        news = {key for keys in found.values() for key in keys} - targets.keys()
        if not news:
            return
        targets.update(inbox.lock(news))


def termination(child: int, root: int, reason: str, now: datetime) -> NewMessage:
    """Return the message that ends an instance because one above it has ended."""
    ended = ExecutionTerminated(timestamp=now, input=payloads.dump(reason))
    return NewMessage(child, ended, sender=f"terminate/{root}")


def replacement(sequence: int, attempt: int, now: datetime) -> ChildOutcome:
    """Return the outcome of a sub-orchestration that was replaced while it lived: it counts as terminated (SUB-3)."""
    reason = "It was replaced by another instance with its ID."
    return SubOrchestrationInstanceFailed(
        timestamp=now,
        task_scheduled_id=sequence,
        reason=reason,
        failure_details=FailureDetails("Terminated", reason),
        attempt=attempt,
    )


def outcome(parent: int, execution: str, event: ChildOutcome) -> NewMessage:
    """Return the message that tells a parent's execution how its sub-orchestration has ended."""
    sender = f"child/{execution}/{event.attempt or 1}"
    return NewMessage(parent, event, sender, event.task_scheduled_id, execution)
