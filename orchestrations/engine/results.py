"""What bounds a turn, and what comes out of it: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from orchestrations.engine import payloads
from orchestrations.engine.events import EventRaised, HistoryEvent, Scheduled
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.state import Status
from orchestrations.errors import LimitExceededError


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """What a worker's settings say: bounds, which are checked only when something is new, never on replay (LIM-1), and
    the version of children that are started without one (VER-1)."""

    payload: payloads.Limits = payloads.DEFAULT_LIMITS
    custom_status_bytes: int = 16 * 1024
    fan_out: int = 10_000
    default_version: str | None = None

    @property
    def custom_status(self) -> payloads.Limits:
        """Bounds of a custom status."""
        return payloads.Limits(self.custom_status_bytes, self.payload.depth)

    def check_fan_out(self, asked: int, open_tasks: int) -> LimitExceededError | None:
        """Return what to refuse one more decision with, after `asked` new ones in this turn; None if it may be."""
        if asked < self.fan_out and open_tasks <= self.fan_out:
            return None
        size = max(asked + 1, open_tasks)
        advice = "Start fewer tasks at once, for instance by sub-orchestrations."
        text = f"The number of open tasks is {size}, the limit is {self.fan_out}. {advice}"
        return LimitExceededError(text, code="limit.fan-out", size=size, limit=self.fan_out)


@dataclass(frozen=True, slots=True)
class Continuation:
    """What `continue_as_new` asked for."""

    input: str | None
    preserve_events: bool
    new_version: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a body ended: completed or failed, or to be continued as new."""

    status: Status
    result: str | None = None
    failure: FailureDetails | None = None
    failed_tasks: tuple[int, ...] | None = None
    continuation: Continuation | None = None


@dataclass(slots=True)
class TurnResult:
    """What one turn adds: received events, then the decisions, in the order of HIS-4 without the frame around them."""

    now: datetime
    received: list[HistoryEvent]
    scheduled: list[Scheduled]
    completion: Completion | None
    custom_status: str | None
    custom_status_changed: bool
    withdrawn_timers: list[int] = field(default_factory=list)
    unprocessed: list[EventRaised] = field(default_factory=list)
    ignored: int = 0
    open_tasks: int = 0
