"""A tap on this thread's database connection: a test stands between the code and each statement, and each COMMIT.

Statements pass through Django's own wrapper; BEGIN and savepoints are statements too where Django sends them as such.
A COMMIT is not, so `Connection.commit` is the seam: what replaces it is given the real one, to call or not. What writes
on PostgreSQL outside of a transaction is a COMMIT by itself, and passes both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

from orchestrations.store.sqlite import gate

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]
OnStatement = Callable[[Execute, str, Any, bool, dict[str, Any]], Any]
OnCommit = Callable[[Callable[[], None]], None]


WRITE = re.compile(r"(?<!FOR )(?<!KEY )\b(INSERT INTO|UPDATE|DELETE FROM)\b", re.IGNORECASE)
"""Found in a statement that writes; a lock is none."""


@contextmanager
def commits_through(on_commit: OnCommit) -> Iterator[None]:
    """Let `on_commit` carry out each COMMIT of this thread's connection, until the block ends."""
    own: Any = connection
    real = own.commit

    def commit() -> None:
        on_commit(real)

    def execute_alone(execute: Execute, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if connection.vendor == "sqlite" or connection.in_atomic_block or not WRITE.search(sql):
            return execute(sql, parameters, many, context)
        results = []
        on_commit(lambda: results.append(execute(sql, parameters, many, context)))
        return results[0]

    own.commit = commit
    try:
        with connection.execute_wrapper(execute_alone):
            yield
    finally:
        del own.commit


@contextmanager
def tapped(on_statement: OnStatement, on_commit: OnCommit) -> Iterator[None]:
    """Let the two carry out all that this thread's connection sends, until the block ends."""
    with connection.execute_wrapper(on_statement), commits_through(on_commit):
        yield


@contextmanager
def ungated() -> Iterator[None]:
    """Let nobody wait at SQLite's gate: who plays processes may stop one between the gate and its BEGIN."""
    patience, gate.PATIENCE_SECONDS = gate.PATIENCE_SECONDS, 0.0
    try:
        yield
    finally:
        gate.PATIENCE_SECONDS = patience


@contextmanager
def unflushed() -> Iterator[None]:
    """Let SQLite flush nothing to the disk on connections that are opened in the block: no power cut is played here."""
    connection_created.connect(_forgo_flushes)
    connection.close()
    try:
        yield
    finally:
        connection_created.disconnect(_forgo_flushes)


def _forgo_flushes(sender: Any, connection: Any, **_: Any) -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
