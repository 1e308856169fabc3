"""Conditions that choose rows by many values, so that a statement stays the same text however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrations.store.sql import TYPES, is_postgres

UNKNOWN_LENGTH = 10
"""For which PostgreSQL takes the length of an array that is a parameter."""


def among(column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a condition that `column` is one of `values`, and its parameters."""
    if len(values) == 1:
        return f"{column} = %s", list(values)
    if is_postgres():
        return f"{column} = ANY(%s::{'bigint' if isinstance(values[0], int) else 'text'}[])", [_array(values)]
    return f"{column} IN ({', '.join(['%s'] * len(values))})", list(values)


def among_rows(columns: str, rows: Sequence[tuple[Any, ...]], kinds: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Return a condition that the columns are one of `rows`, and its parameters."""
    one = f"({', '.join(['%s'] * len(kinds))})"
    if len(rows) == 1:
        return f"({columns}) = {one}", list(rows[0])
    if is_postgres():
        arrays = [f"%s::{TYPES[kind]}[]" for kind in kinds]
        by_column = [_array(values) for values in zip(*rows, strict=True)]
        first = f"{columns.partition(',')[0]} = ANY({arrays[0]})"  # so that what is joined is short in any case
        return f"{first} AND ({columns}) IN (SELECT * FROM unnest({', '.join(arrays)}))", [by_column[0], *by_column]
    return f"({columns}) IN (VALUES {', '.join([one] * len(rows))})", [value for row in rows for value in row]


def chosen(column: str, query: str) -> str:
    """Return a condition that `column` is one of what the query finds. It is asked once, and the rows are found by it:
    by `IN`, PostgreSQL may ask it for each row of a table that was empty when somebody counted."""
    return f"{column} = ANY(ARRAY({query}))" if is_postgres() else f"{column} IN ({query})"


def keys(name: str, values: Sequence[int]) -> tuple[str, list[Any]]:
    """Return a query of one column with these numbers, and its parameters; there may be nulls beside them: to
    PostgreSQL a shorter array would seem to deserve a plan of its own each time, which costs more than it saves."""
    if is_postgres():
        if len(values) == 1:
            return f"SELECT %s::bigint AS {name}", list(values)
        return f"SELECT unnest(%s::bigint[]) AS {name}", [_array([*values, *["NULL"] * (UNKNOWN_LENGTH - len(values))])]
    return f"SELECT column1 AS {name} FROM (VALUES {', '.join(['(%s)'] * len(values))})", list(values)


def locking(clause: str) -> str:
    """Return a row-locking clause where rows can be locked; an SQLite transaction is alone anyway."""
    return f" {clause}" if is_postgres() else ""


def _array(values: Sequence[Any]) -> Any:
    """Return an array parameter; numbers as the text of one, which spares the driver a look at each."""
    return f"{{{','.join(map(str, values))}}}" if values and isinstance(values[0], int) else list(values)
