"""Durable timers, and instants as authors give them (TIM-2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrations.engine.atomic import AtomicTask
from orchestrations.engine.encoding import format_time
from orchestrations.engine.events import HistoryEvent, TimerCreated, TimerFired
from orchestrations.engine.execution import Execution


class TimerTask(AtomicTask):
    """A durable timer; it settles with None."""

    __slots__ = ("fire_at",)

    def __init__(self, execution: Execution, fire_at: datetime) -> None:
        super().__init__(execution, execution.take_sequence())
        self.fire_at = fire_at
        execution.ask(timer_event(execution, self.sequence, fire_at, "timer"), self)

    def handle(self, event: HistoryEvent) -> bool:
        """Fire, unless it was cancelled."""
        if self.is_completed or not isinstance(event, TimerFired):
            return False
        self.settle()
        return True

    def cancel(self) -> bool:
        """Cancel it: True, or False if it has settled already (TSK-6)."""
        cancelled = self.settle_cancelled(f"Task #{self.sequence}")
        if cancelled:
            self.execution.withdraw_timer(self.sequence)
        return cancelled

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`."""
        since = format_time(self.created_at)
        return {"kind": "timer", "sequence": self.sequence, "until": format_time(self.fire_at), "since": since}


def timer_event(
    execution: Execution, sequence: int, fire_at: datetime, origin: str, attempt: int | None = None
) -> TimerCreated:
    """Return the decision to create a timer; `origin` is `timer`, `retry` or `event-timeout`."""
    return TimerCreated(timestamp=execution.now, event_id=sequence, fire_at=fire_at, origin=origin, attempt=attempt)
