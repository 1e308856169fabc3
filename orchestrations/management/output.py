"""What the command line prints: tables for people, JSON for scripts, errors with a hint, exit codes (BAD-70…77)."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from orchestrations.client import queries
from orchestrations.errors import (
    DurableError,
    InstanceExistsError,
    InstanceNotFoundError,
    NotRegisteredError,
    PermissionDenied,
    StaleRevisionError,
    WrongStatusError,
)

OTHER, USAGE, NOT_FOUND, CONFLICT, DENIED, UNAVAILABLE = 1, 2, 3, 4, 5, 6

_CODES: list[tuple[type[Exception], int]] = [
    (InstanceNotFoundError, NOT_FOUND),
    (NotRegisteredError, NOT_FOUND),
    (InstanceExistsError, CONFLICT),
    (WrongStatusError, CONFLICT),
    (StaleRevisionError, CONFLICT),
    (PermissionDenied, DENIED),
    (DurableError, USAGE),
]


class Stream(Protocol):
    """What can be written to: a file, or a command's wrapper of one."""

    def write(self, text: str, /) -> Any:
        """Write the text."""


def exit_code_of(error: DurableError) -> int:
    """Return the exit code for an error."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def print_error(stream: Stream, message: str, hint: str = "") -> None:
    """Print an error, and what to do."""
    stream.write(f"error: {clean(message)}\n")
    if hint:
        stream.write(f"hint: {clean(hint)}\n")


def print_warning(stream: Stream, message: str) -> None:
    """Print what is wrong beside the matter; the answer follows."""
    stream.write(f"warning: {clean(message)}\n")


def warn_if_idle(stream: Stream) -> None:
    """Say that what was accepted waits, where no worker is alive to do it."""
    if not queries.read_health().workers:
        print_warning(stream, "No worker runs here. It waits until one does: 'make run' or 'manage.py durable_worker'.")


def print_json(stream: Stream, value: Any) -> None:
    """Print one JSON value for scripts."""
    stream.write(to_json(value, indent=2) + "\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return the value as JSON text in which what a terminal would obey is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, default=_default, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def print_table(stream: Stream, titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under titles, columns aligned; the last one is cut to the terminal's width."""
    texts = [[clean(_cell(value)) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(titles), *texts]) for i in range(len(titles))]
    width = shutil.get_terminal_size((160, 24)).columns if sys.stdout.isatty() else 10_000
    for row in [list(titles), *texts]:
        line = "  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip()
        stream.write((line if len(line) <= width else line[: width - 1] + "…") + "\n")


def clean(text: str) -> str:
    """Return the text without what a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value).replace("\n", " ")


def _default(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
