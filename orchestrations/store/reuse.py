"""Create an instance under an id that may be taken: what each reuse policy does to the one that has it (INS-5)."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from orchestrations.errors import InstanceExistsError
from orchestrations.store import births, families, inbox, instances
from orchestrations.store.births import NewInstance
from orchestrations.store.instances import Known
from orchestrations.store.signals import announce_work

REPLACE_TERMINAL, ERROR, RETURN_EXISTING, REPLACE_ANY = "replace_terminal", "error", "return_existing", "replace_any"


def create(new: NewInstance, policy: str) -> str:
    """Store the instance and the message that starts it, unless its id is taken; return the id.

    Durable when the caller's transaction commits; however many callers race, one instance comes of it. Raises
    `InstanceExistsError` where `policy` does not replace the instance that has the id.
    """
    assert connection.in_atomic_block, "create() must be called in a transaction"
    while not births.insert_all([new]):
        known = instances.find_all([new.key]).get(new.key)
        if known is None:
            continue  # it has gone in between
        if not known.status.is_terminal and policy == RETURN_EXISTING:
            return new.instance_id
        if policy == ERROR or (not known.status.is_terminal and policy != REPLACE_ANY):
            raise InstanceExistsError(new.instance_id, known.status)
        _make_room(known, new.created_at, may_be_live=policy == REPLACE_ANY)
    announce_work(new.queue, new.due_at)
    return new.instance_id


def _make_room(known: Known, now: datetime, *, may_be_live: bool) -> None:
    """Remove the instance, unless it has changed meanwhile: its parent hears of it, those below it are ended."""
    below = families.live_below([known.key]) if may_be_live else {}
    keys = [known.key, *below.get(known.key, ())]
    targets = inbox.lock([*keys, known.parent] if known.parent and may_be_live else keys)
    own = targets.pop(known.key, None)
    if own is None or (own.is_live and not may_be_live):
        return
    families.lock_below([known.key], below, targets)
    messages = [
        families.termination(key, known.key, "The instance above it was replaced.", now)
        for key in below.get(known.key, ())
    ]
    if own.is_live and known.parent is not None and known.parent_sequence is not None:
        event = families.replacement(known.parent_sequence, known.parent_attempt, now)
        messages.append(families.outcome(known.parent, known.parent_execution, event))
    taken = [m for m in messages if m.instance in targets and targets[m.instance].takes(m.execution)]
    inbox.send(taken, targets, now)
    instances.remove([known.key])
