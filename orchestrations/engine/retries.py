"""RetryOptions: a frozen value that is asked one question, how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrations.engine import times
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.times import Duration
from orchestrations.errors import InvalidError, shown

LONGEST_DELAY = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """When to try again (RET-1). Durations are `timedelta` or seconds; attempts count the first one.

    `handle(details)` is orchestrator code: it must be deterministic; a false answer ends the attempts.
    Raises `InvalidError` (`retry.invalid`, `time.invalid`), a `ValueError`, that names field and bound.
    """

    first_retry_interval: Duration
    max_number_of_attempts: int
    backoff_coefficient: float = 1.0
    max_retry_interval: Duration | None = None
    retry_timeout: Duration | None = None
    handle: Callable[[FailureDetails], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("first_retry_interval", "max_retry_interval", "retry_timeout"):
            value = getattr(self, name)
            if value is None and name != "first_retry_interval":
                continue
            if times.duration(value, name) < timedelta(0):
                raise _invalid(f"{name} must be 0 or more, not {value}")
        if not _is_number(self.max_number_of_attempts, int) or self.max_number_of_attempts < 1:
            raise _invalid(f"max_number_of_attempts must be 1 or more, not {shown(self.max_number_of_attempts)}")
        coefficient: Any = self.backoff_coefficient
        if not _is_number(coefficient, int | float) or coefficient - coefficient != 0 or coefficient < 1:
            raise _invalid(f"backoff_coefficient must be 1 or more, not {shown(coefficient)}")
        if self.handle is not None and not callable(self.handle):
            raise _invalid(f"handle must be a function of the failure's details, not {shown(self.handle)}")

    def next_delay(self, attempt: int, details: FailureDetails, first_at: datetime, now: datetime) -> timedelta | None:
        """Return how long to wait after the failure of `attempt`, or None to give up (RET-2).

        Both instants are orchestration time, so that every replay decides alike.
        """
        if details.is_non_retriable or (self.handle is not None and not self.handle(details)):
            return None
        if attempt >= self.max_number_of_attempts:
            return None
        if self.retry_timeout is not None and (now - first_at).total_seconds() >= _seconds(self.retry_timeout):
            return None
        return timedelta(seconds=self._delay(attempt))

    def _delay(self, attempt: int) -> float:
        highest = LONGEST_DELAY.total_seconds()
        if self.max_retry_interval is not None:
            highest = min(highest, _seconds(self.max_retry_interval))
        try:
            seconds = _seconds(self.first_retry_interval) * self.backoff_coefficient ** (attempt - 1)
        except OverflowError:
            return highest
        return min(seconds, highest)


def _seconds(interval: Duration) -> float:
    return times.duration(interval, "An interval").total_seconds()


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _invalid(message: str) -> InvalidError:
    return InvalidError(message, code="retry.invalid")
