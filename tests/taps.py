"""A tap on this thread's database connection: a test stands between the code and each statement, and each COMMIT.

Statements pass through Django's own wrapper; BEGIN and savepoints are statements too where Django sends them as such.
A COMMIT is not, so `Connection.commit` is the seam: what replaces it is given the real one, to call or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]
OnStatement = Callable[[Execute, str, Any, bool, dict[str, Any]], Any]
OnCommit = Callable[[Callable[[], None]], None]


@contextmanager
def commits_through(on_commit: OnCommit) -> Iterator[None]:
    """Let `on_commit` carry out each COMMIT of this thread's connection, until the block ends."""
    own: Any = connection
    real = own.commit

    def commit() -> None:
        on_commit(real)

    own.commit = commit
    try:
        yield
    finally:
        del own.commit


@contextmanager
def tapped(on_statement: OnStatement, on_commit: OnCommit) -> Iterator[None]:
    """Let the two carry out all that this thread's connection sends, until the block ends."""
    with connection.execute_wrapper(on_statement), commits_through(on_commit):
        yield
