"""RetryOptions: a frozen value that is asked one question, how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any

from orchestrations.engine.failures import FailureDetails

Interval = timedelta | float
LONGEST_DELAY = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """When to try again (RET-1). Intervals are `timedelta` or seconds; attempts count the first one.

    `handle(details)` is orchestrator code: it must be deterministic; a false answer ends the attempts.
    Raises `ValueError` that names field and bound.
    """

    first_retry_interval: Interval
    max_number_of_attempts: int
    backoff_coefficient: float = 1.0
    max_retry_interval: Interval | None = None
    retry_timeout: Interval | None = None
    handle: Callable[[FailureDetails], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("first_retry_interval", "max_retry_interval", "retry_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 <= _seconds(value) < inf:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        attempts: Any = self.max_number_of_attempts
        if not isinstance(attempts, int) or attempts < 1:
            raise ValueError(f"max_number_of_attempts must be 1 or more, not {attempts!r}")
        if not 1 <= self.backoff_coefficient < inf:
            raise ValueError(f"backoff_coefficient must be 1 or more, not {self.backoff_coefficient}")

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


def _seconds(interval: Interval) -> float:
    return interval.total_seconds() if isinstance(interval, timedelta) else float(interval)
