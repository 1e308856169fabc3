"""Statements over many rows at once, the same number of them for one row as for a thousand, on both databases.

The ORM's cost for each row is larger than the database's own, so the hot path speaks SQL; only this package may.
PostgreSQL takes all rows as one JSON text: arrays of a column each (`unnest`) cost the driver three times as much
Python, and a text that is always the same keeps its plan. SQLite takes the rows themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Model

Row = Sequence[Any]
CHUNK = 1000

_TYPES = {"int": "bigint", "text": "text", "time": "timestamptz", "bool": "boolean"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Columns:
    """The columns of a table, in order, with a type each: `int`, `text`, `time` or `bool`."""

    def __init__(self, model: type[Model], **types: str) -> None:
        self.table = model._meta.db_table
        self.names = list(types)
        self.types = list(types.values())
        self._times = [i for i, kind in enumerate(self.types) if kind == "time"]

        columns = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in types.items())
        self.recordset = f"json_to_recordset(%s) AS v({columns})"

    def as_json(self, rows: Sequence[Row]) -> str:
        """Return the rows as one JSON text, for `recordset`."""
        names = self.names
        return _encode([dict(zip(names, row, strict=True)) for row in rows])

    def adapt(self, rows: Iterable[Row]) -> list[list[Any]]:
        """Return the rows as SQLite stores them."""
        adapted = [list(row) for row in rows]
        for row in adapted:
            for place in self._times:
                row[place] = write_time(row[place])
        return adapted


def is_postgres() -> bool:
    """Tell which of the two databases this is."""
    return connection.vendor == "postgresql"


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that returns rows, to be run together with others; `alone` runs it by itself."""

    statement: str
    parameters: Sequence[Any]
    alone: Callable[[], list[tuple[Any, ...]]]


def query(statement: str, parameters: Sequence[Any]) -> Query:
    """Return any statement that returns rows."""
    return Query(statement, parameters, lambda: fetch(statement, parameters))


def insertion(columns: Columns, rows: Sequence[Row], returning: str) -> Query:
    """Return an `insert` that returns something."""
    names = ", ".join(columns.names)
    statement = f"INSERT INTO {columns.table} ({names}) SELECT * FROM {columns.recordset} RETURNING {returning}"
    parameters = [columns.as_json(rows)] if is_postgres() else []
    return Query(statement, parameters, lambda: insert(columns, rows, returning=returning))


def gather(queries: Sequence[Query]) -> list[list[tuple[Any, ...]]]:
    """Run statements that do not depend on one another, and return the rows of each; times come as text, unordered.

    On PostgreSQL they are one statement, hence one round trip and one snapshot: none sees what another writes.
    """
    if len(queries) < 2 or not is_postgres():
        return [one.alone() for one in queries]
    parts = ", ".join(f"q{place} AS ({one.statement})" for place, one in enumerate(queries))
    rows = " UNION ALL ".join(f"SELECT {place}, row_to_json(q{place}) FROM q{place}" for place in range(len(queries)))
    found: list[list[tuple[Any, ...]]] = [[] for _ in queries]
    for place, row in fetch(f"WITH {parts} {rows}", [value for one in queries for value in one.parameters]):
        found[place].append(tuple(row.values()))
    return found


def insert(columns: Columns, rows: Sequence[Row], *, suffix: str = "", returning: str = "") -> list[tuple[Any, ...]]:
    """Insert the rows in one statement (SQLite with `returning`: one for each thousand); return what `returning` names.

    `suffix` is for instance `ON CONFLICT DO NOTHING`; rows that it leaves out return nothing.
    """
    names = ", ".join(columns.names)
    tail = f" {suffix}" + (f" RETURNING {returning}" if returning else "")
    with connection.cursor() as cursor:
        if is_postgres():
            statement = f"INSERT INTO {columns.table} ({names}) SELECT * FROM {columns.recordset}{tail}"
            cursor.execute(statement, [columns.as_json(rows)])
            return cursor.fetchall() if returning else []
        marks = f"({', '.join(['%s'] * len(columns.names))})"
        if not returning:
            cursor.executemany(f"INSERT INTO {columns.table} ({names}) VALUES {marks}{tail}", columns.adapt(rows))
            return []
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(rows), CHUNK):
            chunk = columns.adapt(rows[start : start + CHUNK])
            values = ", ".join([marks] * len(chunk))
            flat = [value for row in chunk for value in row]
            cursor.execute(f"INSERT INTO {columns.table} ({names}) VALUES {values}{tail}", flat)
            found += cursor.fetchall()
        return found


def update(
    columns: Columns, assignments: str, rows: Sequence[Row], *, beside: tuple[Columns, Sequence[Row]] | None = None
) -> None:
    """Update each row's `id` (its first column) by `assignments`, in which `v.name` is the row's value of a column.

    `beside` are rows of another table to insert in the same statement (SQLite: in one before).
    """
    if beside is not None and not is_postgres():
        insert(*beside)
    with connection.cursor() as cursor:
        if is_postgres():
            statement = f"UPDATE {columns.table} AS t SET {assignments} FROM {columns.recordset} WHERE t.id = v.id"
            parameters = [columns.as_json(rows)]
            if beside is not None:
                other, others = beside
                names = ", ".join(other.names)
                select = f"INSERT INTO {other.table} ({names}) SELECT * FROM {other.recordset}"
                statement = f"WITH beside AS ({select}) {statement}"
                parameters = [other.as_json(others), *parameters]
            cursor.execute(statement, parameters)
            return
        pairs = [f"{{{name}}}" for name in columns.names]
        statement = assignments.replace("t.", "")
        order: list[int] = []
        for place, name in sorted(enumerate(columns.names), key=lambda pair: -len(pair[1])):
            statement = statement.replace(f"v.{name}", pairs[place])
        while (at := statement.find("{")) >= 0:
            end = statement.index("}", at)
            order.append(columns.names.index(statement[at + 1 : end]))
            statement = statement[:at] + "%s" + statement[end + 1 :]
        values = [[row[place] for place in [*order, 0]] for row in columns.adapt(rows)]
        cursor.executemany(f"UPDATE {columns.table} SET {statement} WHERE id = %s", values)


def fetch(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement that returns rows. Times among the parameters are adapted."""
    adapted = [write_time(value) if isinstance(value, datetime) else value for value in parameters]
    with connection.cursor() as cursor:
        cursor.execute(statement, adapted)
        return list(cursor.fetchall())


def run(statement: str, parameters: Sequence[Any]) -> int:
    """Run one statement and return the number of rows that it touched."""
    adapted = [write_time(value) if isinstance(value, datetime) else value for value in parameters]
    with connection.cursor() as cursor:
        cursor.execute(statement, adapted)
        return int(cursor.rowcount)


def among(column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a condition that `column` is one of `values`, and its parameters."""
    if is_postgres():
        kind = "bigint[]" if isinstance(values[0], int) else "text[]"
        return f"{column} = ANY(%s::{kind})", [_array(values)]
    return f"{column} IN ({', '.join(['%s'] * len(values))})", list(values)


def among_pairs(columns: str, pairs: Sequence[tuple[Any, Any]], kinds: tuple[str, str]) -> tuple[str, list[Any]]:
    """Return a condition that the two columns are one of `pairs`, and its parameters."""
    if is_postgres():
        arrays = f"unnest(%s::{_TYPES[kinds[0]]}[], %s::{_TYPES[kinds[1]]}[])"
        return f"({columns}) IN (SELECT * FROM {arrays})", [
            _array([a for a, _ in pairs]),
            _array([b for _, b in pairs]),
        ]
    marks = ", ".join(["(%s, %s)"] * len(pairs))
    return f"({columns}) IN (VALUES {marks})", [value for pair in pairs for value in pair]


def _array(values: Sequence[Any]) -> Any:
    """Return an array parameter; numbers as the text of one, which spares the driver a look at each."""
    return f"{{{','.join(map(str, values))}}}" if values and isinstance(values[0], int) else list(values)


def locking(clause: str) -> str:
    """Return a row-locking clause where rows can be locked; an SQLite transaction is alone anyway."""
    return f" {clause}" if is_postgres() else ""


def write_time(moment: datetime | None) -> Any:
    """Return an instant as the database takes it."""
    return None if moment is None else connection.ops.adapt_datetimefield_value(moment)


def read_time(value: Any) -> datetime | None:
    """Return an instant as aware UTC, from what the database gave."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
