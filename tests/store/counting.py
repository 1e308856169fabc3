"""Counts what a step costs: statements (BEGIN and COMMIT left out), and commits, which are transactions that wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK")


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
    is_open = has_written = False
    before = 0

    def end() -> None:
        nonlocal is_open
        is_open = False
        if connection.vendor == "sqlite":
            cost.commits += connection.connection.total_changes > before
        else:
            cost.commits += has_written

    def count(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        nonlocal is_open, has_written, before
        if sql.lstrip().upper().startswith(_CONTROL):
            return execute(sql, parameters, many, context)
        cost.texts.append(" ".join(sql.split()))
        if not is_open:
            is_open, has_written = True, False
            before = connection.connection.total_changes if connection.vendor == "sqlite" else 0
            if connection.in_atomic_block:
                transaction.on_commit(end)
        result = execute(sql, parameters, many, context)
        has_written = has_written or (not sql.lstrip().upper().startswith("SELECT") and context["cursor"].rowcount > 0)
        if not connection.in_atomic_block:
            end()
        return result

    connection.ensure_connection()
    with connection.execute_wrapper(count):
        yield cost
