"""A look at inboxes: what is visible now, and when the next thing will be.

It must come after the statement that locks the instance rows: in READ COMMITTED a statement that waits for a row goes
on with its old snapshot of all other tables, and a message delivered meanwhile would be forgotten for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrations.engine.state import Status
from orchestrations.store import sql
from orchestrations.store.models import InboxMessage

INBOX = InboxMessage._meta.db_table


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in an inbox: its key, the execution it counts for (empty: any) and the event as JSON text."""

    id: int
    visible_at: datetime
    execution: str
    is_control: bool
    body: str


@dataclass(slots=True)
class Waiting:
    """What waits for one instance: visible letters in order of arrival, and the earliest later instants."""

    letters: list[Letter] = field(default_factory=list)
    later: datetime | None = None
    later_control: datetime | None = None

    def has_visible(self, status: Status) -> bool:
        """Tell whether something that counts is visible: while suspended only management does."""
        return any(letter.is_control or status is not Status.SUSPENDED for letter in self.letters)

    def due_at(self, status: Status) -> datetime | None:
        """Return the earliest instant at which something that counts waits, or None."""
        is_suspended = status is Status.SUSPENDED
        moments = [letter.visible_at for letter in self.letters if letter.is_control or not is_suspended]
        moments += [at for at in (self.later_control, None if is_suspended else self.later) if at is not None]
        return min(moments, default=None)


def look(instances: Sequence[int], now: datetime) -> dict[int, Waiting]:
    """Return what waits for each instance that has anything. One statement."""
    return read(question(instances, now).alone()) if instances else {}


def question(instances: Sequence[int], now: datetime) -> sql.Query:
    """Return the statement that looks; `read` reads its rows."""
    condition, values = sql.among("instance_id", instances)
    return sql.query(
        f"SELECT instance_id, id, visible_at, execution, is_control, body FROM {INBOX}"
        f" WHERE {condition} AND visible_at <= %s"
        f" UNION ALL SELECT instance_id, 0, min(visible_at), '', is_control, '' FROM {INBOX}"
        f" WHERE {condition} AND visible_at > %s GROUP BY instance_id, is_control",
        [*values, now, *values, now],
    )


def read(rows: Sequence[tuple[Any, ...]]) -> dict[int, Waiting]:
    """Return what waits for each instance, its letters in order of arrival."""
    found: dict[int, Waiting] = {}
    timed = [(instance, key, sql.read_time(visible_at), *rest) for instance, key, visible_at, *rest in rows]
    for instance, key, at, execution, is_control, body in sorted(timed, key=lambda row: (row[2], row[1])):
        waiting = found.setdefault(instance, Waiting())
        if key:
            waiting.letters.append(Letter(key, at, execution, bool(is_control), body))
        elif is_control:
            waiting.later_control = at
        else:
            waiting.later = at
    return found
