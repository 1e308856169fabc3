"""A look at inboxes: what counts now, and when the next thing will.

It must come after the statement that locks the instances: in READ COMMITTED a statement that waits for a row goes on
with its old snapshot of all other tables, and a message delivered meanwhile would be forgotten for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from orchestrations.engine.events import ExecutionStarted
from orchestrations.engine.state import Status
from orchestrations.store import conditions, sql
from orchestrations.store.inbox import INBOX

START = ExecutionStarted.__name__
MESSAGES, FIRST_MESSAGES = 1000, 16
"""How many of an instance's messages one look shows, and how many at the beginning of an execution: one that continues
as new for each of them must not be shown all the others each time."""
CHARACTERS = 2 * 1024 * 1024
"""One look shows messages of an instance until they have more than this."""
_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Question:
    """An instance to look at: what counts depends on its status, how much is shown on whether its execution begins."""

    instance: int
    status: Status
    is_first: bool = False

    @property
    def most(self) -> int:
        """How many messages in order of arrival are shown; those that count from an instant on are shown all. But for 0
        it does not depend on the status, nor does anything else that is shown."""
        if self.status is Status.SUSPENDED or (self.status is Status.PENDING and not self.is_first):
            return 0
        return FIRST_MESSAGES if self.is_first else MESSAGES


@dataclass(frozen=True, slots=True)
class Message:
    """A message in an inbox: its key, the execution it counts for (empty: any) and the event as JSON text."""

    id: int
    not_before: datetime | None
    execution: str
    kind: str
    is_control: bool
    body: str

    def counts(self, status: Status) -> bool:
        """Tell whether it makes an instance due: a suspended one by management, a pending one also by its start."""
        if self.is_control:
            return True
        if status is Status.PENDING:
            return self.kind == START
        return status is not Status.SUSPENDED


@dataclass(slots=True)
class Waiting:
    """What waits for one instance: messages that count now, and the earliest instant at which another one will.

    To a suspended one only management counts, and it may bear an instant after the look's: its sender's clock was read
    later, or is ahead.
    """

    messages: list[Message] = field(default_factory=list)
    later: datetime | None = None

    def has_news(self, status: Status) -> bool:
        """Tell whether there is something for a turn to take."""
        return any(message.counts(status) for message in self.messages)

    def due_at(self, status: Status, now: datetime) -> datetime | None:
        """Return the earliest instant at which something that counts waits, or None."""
        moments = [message.not_before or now for message in self.messages if message.counts(status)]
        if self.later is not None:
            moments.append(self.later)
        return min(moments, default=None)


def look(questions: Sequence[Question], now: datetime) -> dict[int, Waiting]:
    """Return what waits for each instance that has anything. One statement."""
    return read(question(questions, now).alone()) if questions else {}


def question(questions: Sequence[Question], now: datetime) -> sql.Query:
    """Return the statement that looks; `read` reads its rows.

    Each part reads the rows that it returns and at most one more for each instance, however many wait.
    """
    columns = "m.instance_id, m.id, m.not_before, m.execution, m.kind, m.is_control, m.body"
    parts, parameters = [], []
    for most in sorted({q.most for q in questions} - {0}):
        keys, values = conditions.keys("instance", [q.instance for q in questions if q.most == most])
        parts.append(
            f"SELECT {columns} FROM (SELECT k.instance, {_cut(most)} AS cut FROM ({keys}) k) b"
            f" JOIN {INBOX} m ON m.instance_id = b.instance AND m.not_before IS NULL AND m.id < b.cut"
        )
        parameters += values
    keys, values = conditions.keys("instance", [q.instance for q in questions])
    parts.append(
        f"SELECT {columns} FROM ({keys}) k JOIN {INBOX} m ON m.instance_id = k.instance AND m.not_before <= %s"
    )
    parameters += [*values, now]
    for is_suspended, condition in ((False, ""), (True, " AND l.is_control")):
        chosen = [q.instance for q in questions if (q.status is Status.SUSPENDED) is is_suspended]
        if chosen:
            keys, values = conditions.keys("instance", chosen)
            whose = f"l.instance_id = k.instance AND l.not_before > %s{condition}"
            later = f"SELECT min(l.not_before) FROM {INBOX} l WHERE {whose}"
            parts.append(
                "SELECT b.instance, 0, b.later, '', '', FALSE, ''"
                f" FROM (SELECT k.instance, ({later}) AS later FROM ({keys}) k) b WHERE b.later IS NOT NULL"
            )
            parameters += [now, *values]
    return sql.query(" UNION ALL ".join(parts), parameters)


def read(rows: Sequence[tuple[Any, ...]]) -> dict[int, Waiting]:
    """Return what waits for each instance, its messages by key (a timer's place among them is found by its instant)."""
    found: dict[int, Waiting] = {}
    for instance, key, not_before, execution, kind, is_control, body in rows:
        at = sql.read_time(not_before)
        if key:
            message = Message(key, at, execution, kind, bool(is_control), body)
            found.setdefault(instance, Waiting()).messages.append(message)
        else:
            found.setdefault(instance, Waiting()).later = at
    for waiting in found.values():
        waiting.messages.sort(key=lambda message: message.id)
    return found


def is_whole(found: Waiting, status: Status, position: int) -> bool:
    """Tell whether the look that found this has shown all that waits for an instance of that status, with so much
    history."""
    return Question(0, status, is_first=not position).most > 0 and not is_cut(found.messages)


def is_cut(messages: Sequence[Message]) -> bool:
    """Tell whether more messages may wait for an instance than a look has shown of it."""
    plain = [message for message in messages if message.not_before is None]
    is_long = len(plain) == FIRST_MESSAGES or len(plain) >= MESSAGES
    return is_long or sum(len(message.body) for message in plain) > CHARACTERS


@cache
def _cut(most: int) -> str:
    """Return the expression for the first message that an instance is not shown."""
    first = (
        f"SELECT f.id, f.size FROM {INBOX} f WHERE f.instance_id = k.instance AND f.not_before IS NULL"
        f" ORDER BY f.id LIMIT {most + 1}"
    )
    counted = (
        "SELECT c.id, c.size, row_number() OVER (ORDER BY c.id) AS place, sum(c.size) OVER (ORDER BY c.id) AS total"
        f" FROM ({first}) c"
    )
    bound = f"SELECT min(d.id) FROM ({counted}) d WHERE d.place > {most} OR (d.total - d.size > {CHARACTERS})"
    return f"COALESCE(({bound}), {_LAST})"
