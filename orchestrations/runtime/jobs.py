"""The one callable that RQ may name, and what our worker does with a hint instead, whatever its job names (SEC-20)."""

from __future__ import annotations

from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.store.signals import burst_ended


def run_hint(queue: str) -> None:
    """Refuse to run under a worker that is not ours: it would fork, keep no cache and import names from Redis."""
    raise RuntimeError("Start workers with 'manage.py durable_worker', not with 'rqworker'.")


def take_hint(token: int, attendance: Attendance, burst: Burst) -> None:
    """Accept the hint, then run a burst: whoever found the hint on its way had committed before this claim."""
    attendance.accept(token)
    try:
        burst.run()
    finally:
        burst_ended.send_robust(sender=None)
