"""What the database reads for a step: rows touched by each statement on PostgreSQL, the kind of access on SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from django.db import connection

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "EXPLAIN")
_SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan")
TABLES = "orchestrations_"


class Reads:
    """`touched`: statement → rows of the tables that it read (PostgreSQL); `scans`: full scans of them (SQLite)."""

    def __init__(self) -> None:
        self.touched: list[tuple[str, int]] = []
        self.scans: list[str] = []

    @property
    def rows(self) -> int:
        return sum(count for _, count in self.touched)

    def __str__(self) -> str:
        lines = [f"{count:7d}  {text[:160]}" for text, count in self.touched]
        return "\n".join([*lines, *self.scans])


@contextmanager
def watch_reads() -> Iterator[Reads]:
    """Explain each statement of the block as it comes, then run it."""
    reads = Reads()

    def explain(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if not sql.lstrip().upper().startswith(_CONTROL) and not many:
            if connection.vendor == "postgresql":
                reads.touched.append((" ".join(sql.split()), _count_rows(sql, parameters)))
            else:
                reads.scans += _find_scans(sql, parameters)
        return execute(sql, parameters, many, context)

    connection.ensure_connection()
    with connection.execute_wrapper(explain):
        yield reads


def _count_rows(sql: str, parameters: Any) -> int:
    """Run it for its figures, and take back what it did."""
    with connection.connection.cursor() as cursor:
        is_within = connection.in_atomic_block
        cursor.execute("SAVEPOINT explained" if is_within else "BEGIN")
        plan = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchone()[0]
        cursor.execute("ROLLBACK TO SAVEPOINT explained" if is_within else "ROLLBACK")
    return sum(map(_rows_of, _nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _rows_of(node: dict[str, Any]) -> int:
    if node["Node Type"] not in _SCANS or not node.get("Relation Name", "").startswith(TABLES):
        return 0
    removed = sum(node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def _find_scans(sql: str, parameters: Any) -> list[str]:
    marks = sql.replace("%s", "?").replace("%%", "%")
    rows = connection.connection.execute(f"EXPLAIN QUERY PLAN {marks}", parameters or ()).fetchall()
    found = [row[3] for row in rows if str(row[3]).startswith("SCAN")]
    return [f"{text} in {' '.join(sql.split())[:160]}" for text in found if _is_table(text, sql)]


def _is_table(text: str, sql: str) -> bool:
    """Tell whether the plan scans one of our tables: by name, or by an alias that the statement gives it."""
    name = text.split()[1]
    if name.startswith(TABLES):
        return True
    words = sql.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return any(first.startswith(TABLES) and second == name for first, second in pairwise(words))
