"""Times as authors and callers give them: instants and durations, checked, with a sentence where they are none.

A duration is a `timedelta` or a number of seconds everywhere; an instant is a `datetime`, in UTC if it names no zone
(SRF-5). Only where a number cannot be mistaken for an instant is it taken as one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from orchestrations.engine.exceptions import name_of
from orchestrations.errors import InvalidError

Duration = timedelta | float
"""A `timedelta`, or seconds."""


def duration(value: Any, what: str) -> timedelta:
    """Return a duration as a `timedelta`. Raises `InvalidError` (`time.invalid`)."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(f"{what} must be a timedelta or a number of seconds, not {name_of(type(value))}.")
    try:
        if isfinite(value):
            return timedelta(seconds=value)
    except OverflowError:
        pass
    raise _invalid(f"{what} must be a finite number of seconds, of at most {timedelta.max.days} days.")


def instant(value: Any, now: datetime, what: str) -> datetime:
    """Return an instant in UTC; a duration counts from `now`. Raises `InvalidError` (`time.invalid`)."""
    if isinstance(value, datetime):
        return utc(value, what)
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        wanted = "a datetime, or a timedelta or a number of seconds from now"
        raise _invalid(f"{what} must be {wanted}, not {name_of(type(value))}.")
    try:
        return now + duration(value, what)
    except OverflowError:
        raise _invalid(f"{what} lies {value} from now: dates end with the year 9999.") from None


def utc(value: Any, what: str) -> datetime:
    """Return a `datetime` in UTC; without a zone it is in UTC already. Raises `InvalidError` (`time.invalid`)."""
    if not isinstance(value, datetime):
        raise _invalid(f"{what} must be a datetime, not {name_of(type(value))}.")
    try:
        return value.astimezone(UTC) if value.utcoffset() is not None else value.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        raise _invalid(f"{what} is {value}, which is beyond the years 1 to 9999 in UTC.") from None


def _invalid(message: str) -> InvalidError:
    return InvalidError(message, code="time.invalid")
