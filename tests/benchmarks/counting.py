"""Counts statements, and transactions that wrote, of this process's connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from django.db import connection

FRAME = re.compile(r"\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)
WRITE = re.compile(r"(?<!FOR )(?<!KEY )\b(INSERT INTO|UPDATE|DELETE FROM)\b", re.IGNORECASE)


@dataclass
class Count:
    """`commits`: transactions that touched a row. `statements`: all but those that begin and end transactions."""

    statements: int = 0
    commits: int = 0
    has_written: bool = False

    def note(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Run the statement and count it."""
        before = _changes()
        result = execute(sql, params, many, context)
        if FRAME.match(sql):
            return result
        self.statements += 1
        if WRITE.search(sql) and (_changes() > before or (before < 0 and context["cursor"].rowcount > 0)):
            self.has_written = True
            if not connection.in_atomic_block:
                self.end()
        return result

    def end(self) -> None:
        """Note the end of a transaction."""
        self.commits += self.has_written
        self.has_written = False


@contextmanager
def counted() -> Iterator[Count]:
    """Count what happens within the block."""
    count = Count()
    commit = connection.commit

    def count_commit() -> None:
        commit()
        count.end()

    with connection.execute_wrapper(count.note), mock.patch.object(connection, "commit", count_commit):
        yield count


def _changes() -> int:
    """Return how many rows SQLite has changed; its cursors do not tell with RETURNING, as PostgreSQL's do."""
    return -1 if connection.vendor == "postgresql" else int(connection.connection.total_changes)
