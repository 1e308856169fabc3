"""Counts statements, and transactions that wrote, of this process's connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from tests.taps import WRITE, tapped

FRAME = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)


@dataclass
class Count:
    """`commits`: transactions that touched a row. `statements`: all but those that begin and end transactions."""

    statements: int = 0
    commits: int = 0
    _has_written: bool = False
    _changes: int = field(default_factory=lambda: _count_changes())

    def note(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Run the statement and count it."""
        result = execute(sql, params, many, context)
        if FRAME.match(sql):
            return result
        self.statements += 1
        if (
            connection.vendor == "postgresql" and WRITE.search(sql) and context["cursor"].rowcount != 0
        ):  # -1: not known yet, in a pipeline
            self._has_written = True
        if not connection.in_atomic_block:
            self.end()
        return result

    def end(self) -> None:
        """Note the end of a transaction."""
        changes = _count_changes()
        self.commits += self._has_written or changes > self._changes
        self._has_written, self._changes = False, changes


@contextmanager
def counted() -> Iterator[Count]:
    """Count what happens within the block."""
    count = Count()

    def count_commit(commit: Callable[[], None]) -> None:
        commit()
        count.end()

    with tapped(count.note, count_commit):
        yield count


def _count_changes() -> int:
    """Return how many rows SQLite has changed; its cursors do not tell after RETURNING, as PostgreSQL's do."""
    return 0 if connection.vendor == "postgresql" else int(connection.connection.total_changes)
