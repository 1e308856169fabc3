"""Counts what a step costs: statements (BEGIN and COMMIT left out), and commits, which are transactions that wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from tests.taps import tapped

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SELECT EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())")
"""What is no part of a step: the transaction's frame, and the database's clock, which is asked every half minute."""
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


@dataclass
class Cost:
    """What was counted; `texts` are the statements, for whoever has to find out why there are so many."""

    commits: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def statements(self) -> int:
        return len(self.texts)

    @property
    def both(self) -> tuple[int, int]:
        """Commits and statements."""
        return self.commits, self.statements

    def __str__(self) -> str:
        return f"{self.commits} commits, {self.statements} statements:\n" + "\n".join(t[:160] for t in self.texts)


@contextmanager
def count_cost() -> Iterator[Cost]:
    """Count in the block, on this thread's connection."""
    cost = Cost()
    connection.ensure_connection()
    changes = _changes()

    def count(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().upper().startswith(_CONTROL):
            return execute(sql, parameters, many, context)
        cost.texts.append(" ".join(sql.split()))
        result = execute(sql, parameters, many, context)
        if not connection.in_atomic_block and _WRITES.search(sql):
            cost.commits += context["cursor"].rowcount > 0  # what writes outside of a transaction returns what it wrote
        return result

    def count_commit(commit: Callable[[], None]) -> None:
        nonlocal changes
        if connection.vendor == "sqlite":
            before, changes = changes, _changes()
            cost.commits += changes > before
        else:
            cost.commits += _has_written()
        commit()

    with tapped(count, count_commit):
        yield cost


def _changes() -> int:
    """Return how many rows SQLite has written on this connection."""
    return int(connection.connection.total_changes) if connection.vendor == "sqlite" else 0


def _has_written() -> bool:
    """Tell whether PostgreSQL's transaction has a number: it has written or locked a row, so its COMMIT is flushed."""
    with connection.connection.cursor() as cursor:
        row = cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").fetchone()
    return bool(row[0])
