"""Waits for external events, with their timeouts (EVT-1…4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from orchestrations.engine import payloads
from orchestrations.engine.atomic import AtomicTask
from orchestrations.engine.encoding import format_time
from orchestrations.engine.events import HistoryEvent, TimerFired
from orchestrations.engine.execution import Execution
from orchestrations.engine.failures import EventTimeoutError
from orchestrations.engine.tasks import Task
from orchestrations.engine.timers import timer_event

NOTHING: Any = object()
"""Stands for "no value given" where None is a value."""


class EventTask(AtomicTask):
    """A wait for an external event, with its timeout; it settles with the payload. `ordinal` counts an execution's
    waits from 1, whatever they wait for."""

    __slots__ = ("_default", "name", "ordinal", "timeout_at")
    is_event_wait = True

    def __init__(self, execution: Execution, name: str, timeout_at: datetime | None, default: Any) -> None:
        super().__init__(execution, 0)
        self.name, self.timeout_at, self._default = name, timeout_at, default
        self.ordinal = execution.take_ordinal()
        if execution.mailbox.take(self) or timeout_at is None:
            return
        self.sequence = execution.take_sequence()
        execution.ask(timer_event(execution, self.sequence, timeout_at, "event-timeout"), self)

    def receive(self, payload: str | None) -> None:
        """Settle with an event's payload; the timeout is withdrawn."""
        self.settle(payloads.load(payload))
        self._withdraw_timeout()

    def handle(self, event: HistoryEvent) -> bool:
        """Time out."""
        if self.is_completed or not isinstance(event, TimerFired):
            return False
        self.execution.mailbox.leave(self)
        if self._default is NOTHING:
            assert self.timeout_at is not None
            self.settle(error=EventTimeoutError(self.name, format_time(self.timeout_at)))
        else:
            self.settle(self._default)
        return True

    def cancel(self) -> bool:
        """Stop waiting: True, or False if it has settled already. The wait takes no event any more (EVT-3)."""
        cancelled = self.settle_cancelled(f"The wait for event '{self.name}'")
        if cancelled:
            self.execution.mailbox.leave(self)
            self._withdraw_timeout()
        return cancelled

    def event_waits(self) -> Iterator[Task]:
        """See `Task.event_waits`."""
        return self.leaves()

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`. `ordinal` names the wait that the next event of this name goes to (EVT-2).

        That is what a decision on this name decides, whichever of its waits the body awaits.
        """
        facts: dict[str, Any] = {"kind": "event", "name": self.name, "since": format_time(self.created_at)}
        facts["ordinal"] = self.execution.mailbox.next_ordinal(self.name)
        if self.timeout_at is not None:
            facts["until"] = format_time(self.timeout_at)
        return facts

    def _withdraw_timeout(self) -> None:
        if self.sequence:
            self.execution.withdraw_timer(self.sequence)
