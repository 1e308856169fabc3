"""Create instances under ids that may be taken: what each reuse policy does to the one that has the id (INS-5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from orchestrations.errors import InstanceExistsError
from orchestrations.store import births, families, inbox, instances, retry, sql
from orchestrations.store.births import NewInstance
from orchestrations.store.inbox import NewMessage
from orchestrations.store.instances import Known
from orchestrations.store.signals import announce_work

REPLACE_TERMINAL, ERROR, RETURN_EXISTING, REPLACE_ANY = "replace_terminal", "error", "return_existing", "replace_any"


def create_all(news: Sequence[NewInstance], policy: str) -> None:
    """Store instances of different ids, and the messages that start them, unless their ids are taken: all or none.

    Durable when it returns, or with the caller's open transaction, which a database error ends like any other; however
    many callers race, one instance comes of each id. Raises `InstanceExistsError` where `policy` does not replace the
    instance that has an id. On PostgreSQL one is one statement as a rule. The number of statements does not depend on
    that of the instances, but for those that are replaced.
    """
    retry.after_conflicts(lambda: _create_all(news, policy))


def _create_all(news: Sequence[NewInstance], policy: str) -> None:
    if len(news) == 1 and sql.is_postgres():
        with transaction.mark_for_rollback_on_error():
            is_stored = bool(births.insert_all(news))
        if is_stored:
            return _announce(news)
    with transaction.atomic():
        _announce(_create_behind_locks(news, policy))
    return None


def _create_behind_locks(news: Sequence[NewInstance], policy: str) -> list[NewInstance]:
    """Store them, making room where the policy lets them; return those that were not there."""
    left = {new.key: new for new in news}
    created: list[NewInstance] = []
    while left:
        created += [left.pop(key) for key in births.insert_all(list(left.values()))]
        taken = instances.find_all(left) if left else {}  # those that it does not find have gone in between
        for key, known in taken.items():
            _admit(left[key], known, policy)
            if not known.status.is_terminal and policy == RETURN_EXISTING:
                del left[key]
        if room := [known for key, known in taken.items() if key in left]:
            _make_room(room, news[0].created_at)
    return created


def _announce(created: Sequence[NewInstance]) -> None:
    for (queue, due_at), count in Counter((new.queue, new.due_at) for new in created).items():
        announce_work(queue, due_at, items=count)


def _admit(new: NewInstance, known: Known, policy: str) -> None:
    is_live = not known.status.is_terminal
    if policy == ERROR or (is_live and policy not in (REPLACE_ANY, RETURN_EXISTING)):
        raise InstanceExistsError(new.instance_id, known.status)


def _make_room(known: Sequence[Known], now: datetime) -> None:
    """Remove instances, unless others were quicker; parents of live ones hear of it, and all below these is ended."""
    live = [one for one in known if not one.status.is_terminal]
    below = families.live_below([one.key for one in live]) if live else {}
    others = [one.parent for one in live if one.parent]
    others += [key for found in below.values() for key in found]
    targets = inbox.lock([*(one.key for one in known), *others])
    ending = [one for one in live if one.key in targets and targets[one.key].is_live]
    gone = [one.key for one in known if one.key in targets and (one in ending or not targets[one.key].is_live)]
    families.lock_below([one.key for one in ending], below, targets)
    messages = [message for one in ending for message in _farewells(one, below.get(one.key, ()), now)]
    staying = {key: target for key, target in targets.items() if key not in gone}
    inbox.send([m for m in messages if m.instance in staying and staying[m.instance].takes(m.execution)], staying, now)
    instances.remove(gone)


def _farewells(known: Known, below: Sequence[int], now: datetime) -> list[NewMessage]:
    """What is sent because a live instance is replaced: the end of those below it, and its own to its parent."""
    messages = [families.termination(key, known.key, "The instance above it was replaced.", now) for key in below]
    if known.parent is not None and known.parent_sequence is not None:
        event = families.replacement(known.parent_sequence, known.parent_attempt, now)
        messages.append(families.outcome(known.parent, known.parent_execution, event))
    return messages
