"""Tasks that ask their turn for something under a number, and settle by history events: calls, timers, waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrations.engine import ids, payloads
from orchestrations.engine.encoding import format_time
from orchestrations.engine.events import (
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from orchestrations.engine.failures import (
    EventTimeoutError,
    FailureDetails,
    TaskCancelledError,
    TaskFailedError,
    failure_type,
)
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.tasks import Task

if TYPE_CHECKING:
    from orchestrations.engine.turn import Turn

NOTHING: Any = object()
"""Stands for "no value given" where None is a value."""

_ACTIVITY_OUTCOMES = (TaskCompleted, TaskFailed)
_CHILD_OUTCOMES = (SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)


class _Atomic(Task):
    """A task that has asked its turn for something under a sequence number."""

    __slots__ = ("sequence", "turn")

    def __init__(self, turn: Turn, sequence: int) -> None:
        super().__init__(turn.now)
        self.turn, self.sequence = turn, sequence

    def handle(self, event: HistoryEvent) -> bool:
        """Take an event that carries its sequence number; False if it is outdated (TSK-7)."""
        raise NotImplementedError

    def _cancel(self) -> bool:
        if self.is_completed:
            return False
        self.is_cancelled = True
        self.settle(error=TaskCancelledError(self.sequence))
        return True


class CallTask(_Atomic):
    """An activity or a sub-orchestration with all its attempts and back-offs: one chain, one number (RET-3)."""

    __slots__ = ("_input", "_retry", "attempt", "child_id", "is_child", "name", "retry_at", "version")

    def __init__(
        self,
        turn: Turn,
        name: str,
        input_: str | None,
        *,
        is_child: bool = False,
        child_id: str | None = None,
        version: str | None = None,
        retry: RetryOptions | None = None,
    ) -> None:
        super().__init__(turn, turn.take_sequence())
        self.name, self.is_child, self.child_id, self.version = name, is_child, child_id, version
        self._input, self._retry, self.attempt = input_, retry, 1
        self.retry_at: datetime | None = None
        self._ask()

    def handle(self, event: HistoryEvent) -> bool:
        """Settle by an outcome, or begin a back-off or the next attempt."""
        if self.is_completed or (getattr(event, "attempt", None) or 1) != self.attempt:
            return False
        if isinstance(event, TimerFired):
            return self._begin_next()
        if self.retry_at is not None:
            return False
        completed, failed = _CHILD_OUTCOMES if self.is_child else _ACTIVITY_OUTCOMES
        if isinstance(event, failed):
            self._fail(event)
        elif isinstance(event, completed):
            self.settle(payloads.load(event.result))
        else:
            return False
        return True

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`."""
        facts: dict[str, Any] = {"kind": "sub-orchestration" if self.is_child else "activity", "name": self.name}
        facts |= {"sequence": self.sequence, "since": format_time(self.created_at)}
        if self.retry_at is not None:
            facts |= {"kind": "retry", "until": format_time(self.retry_at), "count": self.attempt + 1}
        return facts

    def _ask(self) -> None:
        attempt = self.attempt if self._retry else None
        if not self.is_child:
            asked: TaskScheduled | SubOrchestrationInstanceCreated = TaskScheduled(
                timestamp=self.turn.now, event_id=self.sequence, name=self.name, input=self._input, attempt=attempt
            )
        else:
            asked = SubOrchestrationInstanceCreated(
                timestamp=self.turn.now,
                event_id=self.sequence,
                name=self.name,
                instance_id=self.child_id or ids.child_id(self.turn.instance_id, self.sequence, self.attempt),
                version=self.version,
                input=self._input,
                attempt=attempt,
                is_named=True if self.child_id else None,
            )
        self.turn.ask(asked, self)

    def _begin_next(self) -> bool:
        if self.retry_at is None:
            return False
        self.retry_at = None
        self.attempt += 1
        self._ask()
        return True

    def _fail(self, event: TaskFailed | SubOrchestrationInstanceFailed) -> None:
        details = event.failure_details or FailureDetails("", event.reason or "")
        try:
            retry = self._retry
            delay = None if retry is None else retry.next_delay(self.attempt, details, self.created_at, self.turn.now)
        except Exception as error:  # the author's `handle`: its failure is the orchestrator's, raised at the await
            self.settle(error=error)
            return
        if delay is None:
            self.settle(error=self._error_of(details))
            return
        self.retry_at = self.turn.now + delay
        self.turn.ask(_timer(self.turn, self.sequence, self.retry_at, "retry", self.attempt), self)

    def _error_of(self, details: FailureDetails) -> TaskFailedError:
        kind, noun = ("orchestration", "Sub-orchestration") if self.is_child else ("activity", "Activity")
        prefix = "" if self.is_child else f"{self.turn.instance_id}: "
        text = f"{prefix}{noun} task #{self.sequence} failed: {details.message}"
        return failure_type(details.error_type).make(
            text, details, kind=kind, sequence=self.sequence, attempts=self.attempt
        )


class TimerTask(_Atomic):
    """A durable timer; it settles with None."""

    __slots__ = ("fire_at",)

    def __init__(self, turn: Turn, fire_at: datetime) -> None:
        super().__init__(turn, turn.take_sequence())
        self.fire_at = fire_at
        turn.ask(_timer(turn, self.sequence, fire_at, "timer"), self)

    def handle(self, event: HistoryEvent) -> bool:
        """Fire, unless it was cancelled."""
        if self.is_completed or not isinstance(event, TimerFired):
            return False
        self.settle()
        return True

    def cancel(self) -> bool:
        """Cancel it: True, or False if it has settled already (TSK-6)."""
        cancelled = self._cancel()
        if cancelled:
            self.turn.withdraw_timer(self.sequence)
        return cancelled

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`."""
        since = format_time(self.created_at)
        return {"kind": "timer", "sequence": self.sequence, "until": format_time(self.fire_at), "since": since}


class EventTask(_Atomic):
    """A wait for an external event, with its timeout; it settles with the payload (EVT-1…4)."""

    __slots__ = ("_default", "name", "timeout_at")

    def __init__(self, turn: Turn, name: str, timeout_at: datetime | None, default: Any) -> None:
        super().__init__(turn, 0)
        self.name, self.timeout_at, self._default = name, timeout_at, default
        if turn.mailbox.take(self) or timeout_at is None:
            return
        self.sequence = turn.take_sequence()
        turn.ask(_timer(turn, self.sequence, timeout_at, "event-timeout"), self)

    def receive(self, payload: str | None) -> None:
        """Settle with an event's payload; the timeout is withdrawn."""
        self.settle(payloads.load(payload))
        self._withdraw_timeout()

    def handle(self, event: HistoryEvent) -> bool:
        """Time out."""
        if self.is_completed or not isinstance(event, TimerFired):
            return False
        self.turn.mailbox.leave(self)
        if self._default is NOTHING:
            assert self.timeout_at is not None
            self.settle(error=EventTimeoutError(self.name, format_time(self.timeout_at)))
        else:
            self.settle(self._default)
        return True

    def cancel(self) -> bool:
        """Stop waiting: True, or False if it has settled already. The wait takes no event any more (EVT-3)."""
        cancelled = self._cancel()
        if cancelled:
            self.turn.mailbox.leave(self)
            self._withdraw_timeout()
        return cancelled

    def describe(self) -> dict[str, Any]:
        """See `Task.describe`."""
        facts: dict[str, Any] = {"kind": "event", "name": self.name, "since": format_time(self.created_at)}
        if self.timeout_at is not None:
            facts["until"] = format_time(self.timeout_at)
        return facts

    def _withdraw_timeout(self) -> None:
        if self.sequence:
            self.turn.withdraw_timer(self.sequence)


def instant(turn: Turn, when: datetime | timedelta) -> datetime:
    """Return `when` as an aware instant; a `timedelta` counts from the turn's now, no zone means UTC (SRF-5)."""
    if isinstance(when, timedelta):
        return turn.now + when
    if isinstance(when, datetime):
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    raise TypeError(f"A time must be a datetime or a timedelta, not {type(when).__name__}.")


def _timer(turn: Turn, sequence: int, fire_at: datetime, origin: str, attempt: int | None = None) -> TimerCreated:
    return TimerCreated(timestamp=turn.now, event_id=sequence, fire_at=fire_at, origin=origin, attempt=attempt)
