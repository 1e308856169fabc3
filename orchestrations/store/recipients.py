"""Whom a batch of plans writes to besides its own instances: found by id first, then locked with them, in id order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrations.engine.state import Status
from orchestrations.store import families, inbox, instances, sql
from orchestrations.store.batch import TurnCommit
from orchestrations.store.inbox import Target
from orchestrations.store.instances import Known
from orchestrations.store.models import Gate


@dataclass(slots=True)
class Recipients:
    """`below`: ending instance → those to end with it. `targets`: key → locked instance, own ones included."""

    known: dict[tuple[int, str], Known] = field(default_factory=dict)
    below: dict[int, list[int]] = field(default_factory=dict)
    targets: dict[int, Target] = field(default_factory=dict)
    _added: dict[tuple[int, str], int] = field(default_factory=dict)

    def find(self, hub_id: int, instance_id: str) -> Target | None:
        """Return the instance with that id, as it is within this commit."""
        key = self._added.get((hub_id, instance_id))
        if key is None and (known := self.known.get((hub_id, instance_id))):
            key = known.key
        return self.targets.get(key) if key is not None else None

    def status_of(self, hub_id: int, instance_id: str) -> Status:
        """Return the status that the instance had when it was found."""
        return self.known[hub_id, instance_id].status

    def add(self, hub_id: int, instance_id: str, target: Target) -> None:
        """Add an instance that this commit has created."""
        self._added[hub_id, instance_id] = target.id
        self.targets[target.id] = target

    def advance(self, commits: Sequence[TurnCommit]) -> None:
        """Let own instances be as the commit will leave them: what comes now goes to that."""
        for c in commits:
            target, is_over = self.targets[c.key], c.status.is_terminal
            if is_over or c.execution != target.execution:
                gate = Gate.CLOSED if is_over else target.gate
                self.targets[c.key] = replace(target, execution=c.execution, gate=gate)


def lock(commits: Sequence[TurnCommit]) -> Recipients:
    """Find the instances that the plans write to, and lock them with the plans' own."""
    found = Recipients()
    plans = [(c, c.plan) for c in commits if c.plan]
    ids = {(c.held.hub_id, event.instance_id) for c, plan in plans for event in plan.sends}
    ids |= {(c.held.hub_id, event.instance_id) for c, plan in plans for event in plan.children if event.is_named}
    if ids:
        found.known = instances.find_all(ids)
    ending = [c.key for c, plan in plans if plan.ends_children is not None]
    if ending:
        found.below = families.live_below(ending)
    keys = [c.held.parent for c, plan in plans if plan.outcome and c.held.parent]
    keys += [known.key for known in found.known.values()]
    keys += [key for below in found.below.values() for key in below]
    found.targets = _lock(commits, keys)
    if ending:
        families.lock_below(ending, found.below, found.targets)
    return found


def _lock(commits: Sequence[TurnCommit], others: Sequence[int]) -> dict[int, Target]:
    """Lock the plans' own instances and those others. SQLite's transaction has locked all: where there are no others,
    nothing need be read, for the update at the end finds out whose the leases are; but debts are not made rows blindly.
    """
    if others or sql.is_postgres() or any(c.ends and c.still_owed for c in commits):
        return inbox.lock([*(c.key for c in commits), *others])
    rows = [c.held.row for c in commits]
    return {
        row.instance_id: Target(
            row.instance_id, Gate.OPEN, row.queue, row.lease_owner, row.lease_epoch, row.execution, None
        )
        for row in rows
    }
