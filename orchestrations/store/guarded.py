"""Writes that are made together if each finds all the rows that it needs, and else not at all: a compare-and-set.

On PostgreSQL they are one statement, for which no transaction is begun: one round trip, one flush, and no error where a
row is not as it must be. Its guards lock the rows, one guard after the other, and every write hangs on what they have
found. On SQLite the writes follow one another in a transaction, which the first that misses a row rolls back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from orchestrations.store import sql

Rows = list[tuple[Any, ...]]
Text = tuple[str, Sequence[Any]]
"""A part of a statement, and its parameters."""

GO = "(SELECT yes FROM go)"
"""What every write of the statement hangs on: the guards have found all rows."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Rows that must be there, so many: a query whose condition can be added to, and the clause that locks them."""

    query: Text
    lock: str
    count: int


@dataclass(frozen=True, slots=True)
class Write:
    """One of the writes: for SQLite what does it, and returns the rows that it has found; for PostgreSQL its statement,
    and what that and the guard read from. `tells`: the rows that it returns are asked for."""

    run: Callable[[], Rows]
    statement: Text
    guard: Guard | None = None
    source: Text | None = None
    tells: bool = False


def update(columns: sql.Columns, assignments: str, rows: Sequence[sql.Row], where: str, returning: str) -> Write:
    """Update the rows as `sql.update` does; all of them must meet `where`. One such write among others at most."""
    key, table = f"t.{columns.key}", columns.table
    chosen, one = f"{key} = v.{columns.key}", []
    if len(rows) == 1:  # by its key itself, so that no estimate of `v` can lead to another way to it
        chosen, one = f"{chosen} AND {key} = %s", [rows[0][columns.key]]
    return Write(
        lambda: sql.update(columns, assignments, rows, where=where, returning=returning),
        (f"UPDATE {table} AS t SET {assignments} FROM v WHERE {chosen} AND {GO} RETURNING {returning}", one),
        Guard(
            (f"SELECT {key} FROM {table} t JOIN v ON {chosen} WHERE {where}", one),
            f" ORDER BY {key} FOR NO KEY UPDATE OF t",
            len(rows),
        ),
        (columns.recordset, [columns.as_json(rows)]),
        tells=True,
    )


def delete(table: str, condition: str, values: Sequence[Any], count: int) -> Write:
    """Delete the rows that meet the condition; there must be so many."""
    return Write(
        lambda: sql.fetch(f"DELETE FROM {table} WHERE {condition} RETURNING 1", values),
        (f"DELETE FROM {table} WHERE {condition} AND {GO}", values),
        Guard((f"SELECT 1 FROM {table} WHERE {condition}", values), " FOR UPDATE", count),
    )


def insert(columns: sql.Columns, rows: Sequence[sql.Row], *, suffix: str = "", returning: str = "") -> Write:
    """Insert the rows, as `sql.insert` does."""
    tail = f" {suffix}" if suffix else ""
    tail += f" RETURNING {returning}" if returning else ""
    return Write(
        lambda: sql.insert(columns, rows, suffix=suffix, returning=returning),
        (f"{sql.insert_from(columns)} WHERE {GO}{tail}", [columns.as_json(rows)]),
        tells=bool(returning),
    )


def change(one: sql.Change) -> Write:
    """Make a change."""

    def run() -> Rows:
        one.run()
        return []

    return Write(run, (one.statement(when=GO), [one.columns.as_json(one.rows)]))


def write(writes: Sequence[Write]) -> list[Rows] | None:
    """Make all the writes, the first of which has a guard, and return the rows of each that tells them; or return None:
    a row was not as it must be, and nothing is written.

    Durable when it returns; call it outside of any transaction. Later guards wait for rows only once the first one has
    locked all of its own, so whoever locks those first never waits for us while we wait for him.
    """
    return _write_at_once(writes) if sql.is_postgres() else _write_in_turn(writes)


class _Missed(Exception):
    """A write did not find what it needs."""


def _write_in_turn(writes: Sequence[Write]) -> list[Rows] | None:
    found: list[Rows] = []
    try:
        with transaction.atomic(durable=True):
            for one in writes:
                found.append(one.run())
                if one.guard and len(found[-1]) != one.guard.count:
                    raise _Missed
    except _Missed:
        return None
    return found


def _write_at_once(writes: Sequence[Write]) -> list[Rows] | None:
    if connection.in_atomic_block:
        raise RuntimeError("guarded writes are durable when they return: call write() outside of any transaction")
    parts = [*_sources(writes), *_guards(writes)]
    parts += [(f"w{place} AS ({one.statement[0]})", one.statement[1]) for place, one in enumerate(writes)]
    told = [place for place, one in enumerate(writes) if one.tells]
    answer = " UNION ALL ".join(f"SELECT {place}, row_to_json(w{place}) FROM w{place}" for place in told)
    statement = f"WITH {', '.join(text for text, _ in parts)} {answer}"
    found: list[Rows] = [[] for _ in writes]
    for place, row in sql.fetch(statement, [value for _, values in parts for value in values]):
        found[place].append(tuple(row.values()))
    return found if found[0] else None


def _sources(writes: Sequence[Write]) -> Iterator[Text]:
    for one in writes:
        if one.source:
            yield f"v AS MATERIALIZED ({one.source[0]})", one.source[1]


def _guards(writes: Sequence[Write]) -> Iterator[Text]:
    """Each guard looks only if the ones before it have found all; `go` tells whether all of them have."""
    so_far, counts = "", list[int]()
    for place, one in enumerate(writes):
        if one.guard:
            query, values = one.guard.query
            condition = f" AND {so_far}" if so_far else ""
            yield f"g{place} AS MATERIALIZED ({query}{condition}{one.guard.lock})", [*values, *counts]
            so_far = f"{so_far} AND " * bool(so_far) + f"(SELECT count(*) FROM g{place}) = %s"
            counts.append(one.guard.count)
    yield f"go AS MATERIALIZED (SELECT {so_far} AS yes)", counts
