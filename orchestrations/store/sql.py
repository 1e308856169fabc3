"""Statements over many rows at once, the same number of them for one row as for a thousand, on both databases.

The ORM's cost for each row is larger than the database's own, so the hot path speaks SQL; only this package may. Rows
are dictionaries, so that a column has a name wherever it is written. They reach a statement as a table `v`: PostgreSQL
takes them as one JSON text (arrays of a column each cost the driver three times as much Python, and a text that is
always the same keeps its plan), SQLite as VALUES.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

Row = Mapping[str, Any]
CHUNK_VALUES = 30_000
"""How many values a statement of SQLite may have; by default it takes 32,766."""

TYPES = {"int": "bigint", "text": "text", "time": "timestamptz", "bool": "boolean"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


class Columns:
    """Columns of a table with a type each: `int`, `text`, `time` or `bool`. The first one is the key of updates."""

    def __init__(self, model: type[Model], **types: str) -> None:
        self._model, self.types = model, types
        self._subsets: dict[tuple[str, ...], Columns] = {}
        self._times = frozenset(name for name, kind in types.items() if kind == "time")
        self.table = model._meta.db_table
        self.names = tuple(types)
        self.key = self.names[0]
        self.declared = ", ".join(f"{name} {TYPES[kind]}" for name, kind in types.items())
        self.recordset = f"SELECT * FROM json_to_recordset(%s) AS rows({self.declared})"

    def subset(self, names: tuple[str, ...]) -> Columns:
        """Return some of the columns, the key among them."""
        found = self._subsets.get(names)
        if found is None:
            wanted = (self.key, *(name for name in names if name != self.key))
            found = self._subsets[names] = Columns(self._model, **{name: self.types[name] for name in wanted})
        return found

    def as_json(self, rows: Sequence[Row]) -> str:
        """Return the rows as one JSON text, for `recordset`. `KeyError` for a row without one of the columns."""
        names, known = self.names, self.types.keys()
        return _encode([row if row.keys() == known else {name: row[name] for name in names} for row in rows])

    def flatten(self, rows: Sequence[Row]) -> list[Any]:
        """Return the rows' values one after the other, as SQLite stores them."""
        times = self._times
        return [write_time(row[name]) if name in times else row[name] for row in rows for name in self.names]

    def chunks(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Yield the rows in parts that one statement of SQLite can take."""
        size = CHUNK_VALUES // len(self.names)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


@cache
def is_postgres() -> bool:
    """Tell which of the two databases this is. A process has one, so it is asked once."""
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
    parameters = [columns.as_json(rows)] if is_postgres() else []
    statement = f"{insert_from(columns)} RETURNING {returning}"
    return Query(statement, parameters, lambda: insert(columns, rows, returning=returning))


def gather(queries: Sequence[Query], names: Sequence[str] = ()) -> list[list[tuple[Any, ...]]]:
    """Run statements that do not depend on one another, and return the rows of each; times come as text, unordered.

    On PostgreSQL they are one statement, hence one round trip and one snapshot: none sees what another writes, but for
    what it returned, by the name that `names` gives it.
    """
    if len(queries) < 2 or not is_postgres():
        return [one.alone() for one in queries]
    names = names or [f"q{place}" for place in range(len(queries))]
    parts = ", ".join(f"{name} AS ({one.statement})" for name, one in zip(names, queries, strict=True))
    rows = " UNION ALL ".join(f"SELECT {place}, row_to_json({name}) FROM {name}" for place, name in enumerate(names))
    found: list[list[tuple[Any, ...]]] = [[] for _ in queries]
    for place, row in fetch(f"WITH {parts} {rows}", [value for one in queries for value in one.parameters]):
        found[place].append(tuple(row.values()))
    return found


def insert(columns: Columns, rows: Sequence[Row], *, suffix: str = "", returning: str = "") -> list[tuple[Any, ...]]:
    """Insert the rows in one statement (SQLite: one for each few thousand); return what `returning` names.

    `suffix` is for instance `ON CONFLICT DO NOTHING`; rows that it leaves out return nothing.
    """
    tail = f" {suffix}" if suffix else ""
    tail += f" RETURNING {returning}" if returning else ""
    if is_postgres():
        return _execute(insert_from(columns) + tail, [columns.as_json(rows)], has_rows=bool(returning))
    names, found = ", ".join(columns.names), []
    for chunk in columns.chunks(rows):
        statement = f"INSERT INTO {columns.table} ({names}) VALUES {_marks(columns, len(chunk))}{tail}"
        found += _execute(statement, columns.flatten(chunk), has_rows=bool(returning))
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """Rows to write beside an update: inserted, updated by key (`assignments`), or both (`suffix`)."""

    columns: Columns
    rows: Sequence[Row]
    assignments: str = ""
    suffix: str = ""

    def statement(self, when: str = "TRUE") -> str:
        """Return the statement for PostgreSQL, which changes nothing unless the condition holds."""
        if self.assignments:
            return f"{_update_from(self.columns, self.assignments)} AND {when}"
        return f"{insert_from(self.columns)} WHERE {when} {self.suffix}"

    def run(self) -> None:
        """Run it by itself."""
        if self.assignments:
            update(self.columns, self.assignments, self.rows)
        else:
            insert(self.columns, self.rows, suffix=self.suffix)


def update(
    columns: Columns,
    assignments: str,
    rows: Sequence[Row],
    *,
    where: str = "",
    returning: str = "",
    beside: Sequence[Change] = (),
) -> list[tuple[Any, ...]]:
    """Update the rows with these keys by `assignments`, in which `v.name` is a row's value and `t.name` the old one.

    Rows that do not meet `where` stay, and what they return is missing: then the caller rolls back. `beside` is written
    in the same statement (SQLite: in one each afterwards, unless a row is missing).
    """
    tail = f" AND {where}" if where else ""
    tail += f" RETURNING {returning}" if returning else ""
    if is_postgres():
        parts = [f"beside{place} AS ({change.statement()})" for place, change in enumerate(beside)]
        head = f"WITH {', '.join(parts)} " if parts else ""
        parameters = [change.columns.as_json(change.rows) for change in beside]
        statement = head + _update_from(columns, assignments) + tail
        return _execute(statement, [*parameters, columns.as_json(rows)], has_rows=bool(returning))
    found = []
    for chunk in columns.chunks(rows):
        table = f"WITH v({', '.join(columns.names)}) AS (VALUES {_marks(columns, len(chunk))})"
        statement = f"{table} UPDATE {columns.table} AS t SET {assignments} FROM v WHERE t.{columns.key} ="
        found += _execute(f"{statement} v.{columns.key}{tail}", columns.flatten(chunk), has_rows=bool(returning))
    for change in beside if len(found) == len(rows) or not returning else ():
        change.run()
    return found


def changes(columns: Columns, rows: Sequence[Row]) -> list[Change]:
    """Return the updates that set in each row just the columns that it names, to null where it says so.

    One update for each set of columns, of which a commit knows a handful.
    """
    return [
        Change(part, group, assignments=", ".join(f"{name} = v.{name}" for name in part.names[1:]))
        for part, group in _by_columns(columns, rows)
    ]


def upserts(columns: Columns, rows: Sequence[Row]) -> list[Change]:
    """Return the inserts that, where a row with the key exists, set just the columns that each row names."""
    found = []
    for part, group in _by_columns(columns, rows):
        sets = ", ".join(f"{name} = excluded.{name}" for name in part.names[1:])
        found.append(Change(part, group, suffix=f"ON CONFLICT ({part.key}) DO UPDATE SET {sets}"))
    return found


def fetch(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run one statement that returns rows. Times among the parameters are adapted."""
    return _execute(statement, _adapt(parameters), has_rows=True)


def run(statement: str, parameters: Sequence[Any]) -> int:
    """Run one statement and return the number of rows that it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapt(parameters))
        return int(cursor.rowcount)


def write_time(moment: datetime | None) -> Any:
    """Return an instant as the database takes it: SQLite as text in UTC, as Django writes it."""
    if moment is None or is_postgres():
        return moment
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def read_time(value: Any) -> datetime | None:
    """Return an instant as aware UTC, from what the database gave."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _by_columns(columns: Columns, rows: Sequence[Row]) -> list[tuple[Columns, list[Row]]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    return [(columns.subset(names), group) for names, group in groups.items()]


def _execute(statement: str, parameters: Sequence[Any], *, has_rows: bool) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if has_rows else []


def _adapt(parameters: Sequence[Any]) -> list[Any]:
    return [write_time(value) if isinstance(value, datetime) else value for value in parameters]


def insert_from(columns: Columns) -> str:
    """Return PostgreSQL's statement that inserts rows from a JSON text; a condition and more may follow."""
    return f"INSERT INTO {columns.table} ({', '.join(columns.names)}) {columns.recordset}"


def _update_from(columns: Columns, assignments: str) -> str:
    return (
        f"UPDATE {columns.table} AS t SET {assignments} FROM ({columns.recordset}) AS v"
        f" WHERE t.{columns.key} = v.{columns.key}"
    )


def _marks(columns: Columns, count: int) -> str:
    one = f"({', '.join(['%s'] * len(columns.names))})"
    return ", ".join([one] * count)
