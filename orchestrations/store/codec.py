"""Columns ↔ engine values."""

from __future__ import annotations

import json

from orchestrations.engine.events import ParentInstance


def is_storable(text: str) -> bool:
    """Tell whether a text column can hold the text: neither a NUL character nor a lone surrogate."""
    return (text.isascii() and "\x00" not in text) or not any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text)


def read_tags(text: str) -> dict[str, str]:
    """Return tags from their column."""
    return {} if text == "{}" else dict(json.loads(text))


def parent_of(parent: int | None, execution: str, sequence: int | None, attempt: int) -> ParentInstance | None:
    """Return who waits for the instance's outcome, as far as its row knows; names are in its history."""
    if parent is None or sequence is None:
        return None
    return ParentInstance(name="", instance_id="", execution_id=execution, task_schedule_id=sequence, attempt=attempt)
