"""Activities that a burst keeps for itself: no rows, but owed by the lease of their instance.

The history says that they were scheduled, the lease who has them, and `Schedule.owed` where in the history they are. So
a step of a sequence writes no row for its activity and removes none. Whoever gives the lease back, takes it away, or
finds that it has run out, hands over what it owes: it becomes rows, with the ids that it had all along. A schedule
without a lease owes nothing, which the table checks.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from orchestrations.engine import encoding
from orchestrations.engine.events import TaskScheduled
from orchestrations.store import activities, conditions, sql
from orchestrations.store.activities import NewActivity
from orchestrations.store.claimed import ScheduleRow
from orchestrations.store.histories import HISTORY
from orchestrations.store.inbox import SCHEDULE


class Place(NamedTuple):
    """Where in a history an event is: the key of its part within the execution, and its place there."""

    part: int
    offset: int


Owed = Mapping[int, Place]
"""The activities that a lease owes, by the ids that their rows would have."""


def read(text: str) -> dict[int, Place]:
    """Return what the column holds."""
    return {key: Place(part, offset) for key, part, offset in json.loads(text)} if text else {}


def write(owed: Owed) -> str:
    """Return the column's text."""
    return json.dumps([(key, *place) for key, place in owed.items()], separators=(",", ":")) if owed else ""


@dataclass(frozen=True, slots=True)
class Debt:
    """What the lease of an instance owes, and who has that lease until when."""

    instance: int
    execution: str
    queue: str
    owed: Owed
    owner: str
    until: datetime | None


def hand_over(instances: Sequence[int], now: datetime, *, is_lost: bool = False) -> dict[int, Owed]:
    """Make rows of what the leases of these instances owe; call it in a transaction, with their schedules locked.

    The rows are leased as their instances are; with `is_lost` to nobody, until now, and so count as lost with whoever
    had them. Returns instance → what it owed, of those that did. Where the lease stays and a commit of its owner may be
    on its way, raise the epoch: it would write the debts again.
    """
    if not instances:
        return {}
    condition, values = conditions.among("instance_id", instances)
    columns = "instance_id, execution, queue, owed, lease_owner, CAST(lease_until AS text)"
    rows = sql.fetch(f"SELECT {columns} FROM {SCHEDULE} WHERE {condition} AND owed > ''", values)
    if not rows:
        return {}
    debts = [
        Debt(key, execution, queue, read(text), *(("", now) if is_lost else (owner, sql.read_time(until))))
        for key, execution, queue, text, owner, until in rows
    ]
    make_rows(debts, now)
    condition, values = conditions.among("instance_id", [debt.instance for debt in debts])
    sql.run(f"UPDATE {SCHEDULE} SET owed = '' WHERE {condition}", values)
    return {debt.instance: debt.owed for debt in debts}


def take_over(claimed: Sequence[ScheduleRow], now: datetime) -> None:
    """Make rows of what leases that had run out, and were claimed since, still owe: it counts as lost.

    Durable when it returns; the claimed rows owe nothing then.
    """
    by_key = {row.instance_id: row for row in claimed}
    condition, values = conditions.among("instance_id", list(by_key))
    lock = f"ORDER BY instance_id{conditions.locking('FOR NO KEY UPDATE')}"
    with transaction.atomic(durable=True):
        found = sql.fetch(f"SELECT instance_id, lease_epoch FROM {SCHEDULE} WHERE {condition} {lock}", values)
        hand_over([key for key, epoch in found if epoch == by_key[key].lease_epoch], now, is_lost=True)
    for row in claimed:
        row.owed = ""


def make_rows(debts: Sequence[Debt], now: datetime) -> None:
    """Insert what is owed as rows, leased as the debts say.

    An event that cannot be read is left out: no replay of its instance can read it either, so it moves no more.
    """
    parts = _load_parts([(one.instance, one.execution, place.part) for one in debts for place in one.owed.values()])
    news = []
    for one in debts:
        for pk, place in one.owed.items():
            event = _read_event(parts.get((one.instance, place.part), []), place.offset)
            if event is not None:
                news.append(NewActivity(pk, one.instance, one.execution, event, one.queue, one.owner, one.until))
    activities.insert(news, now)


def _load_parts(keys: Sequence[tuple[int, str, int]]) -> dict[tuple[int, int], list[Any]]:
    """Return (instance, part) → the members of its events."""
    condition, values = conditions.among_rows(
        "instance_id, execution, sequence", sorted(set(keys)), ("int", "text", "int")
    )
    rows = sql.fetch(f"SELECT instance_id, sequence, body FROM {HISTORY} WHERE {condition}", values)
    found: dict[tuple[int, int], list[Any]] = {}
    for instance, part, body in rows:
        with contextlib.suppress(ValueError):
            found[instance, part] = json.loads(f"[{body}]")
    return found


def _read_event(events: Sequence[Any], offset: int) -> TaskScheduled | None:
    """Return the event, by itself: those beside it may be of kinds that this version does not know."""
    try:
        event = encoding.from_members(events[offset])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return event if isinstance(event, TaskScheduled) else None
