"""Wakes: a hint for each free token of a queue, or an instant to plan for, published to the supervisors.

A wake is coalesced: where a hint is on its way already, it does nothing (see `hints`). Nothing here raises: Redis being
away must not turn a committed request into an error, and the sweeper wakes again.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.faults import crashpoint
from orchestrations.runtime import hints, queues
from orchestrations.runtime.hints import CHANNEL
from orchestrations.store import clock

LISTENERS_SECONDS = 1.0
SILENT_SECONDS = 2.0
"""After Redis did not answer in time nobody asks it again for so long: a request must not wait for it at each wake."""

_silent_until = 0.0
_listeners: dict[str, tuple[float, int]] = {}


def on_work_available(
    sender: Any, *, queue: str, at: datetime | None = None, items: int = 1, is_surplus: bool = False, **_: Any
) -> None:
    """Receive the store's signal."""
    wake(queue, at, items=items, is_surplus=is_surplus)


def wake(queue: str, at: datetime | None = None, *, items: int = 1, is_surplus: bool = False) -> None:
    """Say that `queue` has work now, or will have at `at`. Errors are logged; it waits for two seconds at most.

    `is_surplus`: who attends to the queue has enough already, so others are called.
    """
    global _silent_until
    crashpoint("before-wake")
    if clock.monotonic() < _silent_until:
        return
    try:
        if at is not None and at > clock.now():
            queues.connection().publish(CHANNEL, f"{queue} {at.isoformat()}")
        else:
            _hint(queue, items, is_surplus=is_surplus)
    except (RedisError, OSError) as error:
        telemetry.report(telemetry.WAKE_FAILED, level=logging.WARNING, error=error, queue=queue)
        if isinstance(error, RedisTimeout | TimeoutError):
            _silent_until = clock.monotonic() + SILENT_SECONDS


def _hint(queue: str, items: int, *, is_surplus: bool) -> None:
    wanted, first = math.ceil(items / conf.CLAIM_SIZE), int(is_surplus)
    if wanted > 1:
        wanted = max(1, min(wanted, _count_listeners(queue) - first))
    hints.offer(queue, range(first, first + wanted), int(conf.WAKE_SECONDS * 1000))


def _count_listeners(queue: str) -> int:
    asked, count = _listeners.get(queue, (0.0, 1))
    if clock.monotonic() - asked > LISTENERS_SECONDS:
        count = max(1, queues.count_listeners(queue))
        _listeners[queue] = (clock.monotonic(), count)
    return count
