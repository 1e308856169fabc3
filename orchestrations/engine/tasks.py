"""What bodies yield or await. A task settles once: completed, failed or cancelled (TSK-1…7).

Atomic tasks ask their turn for something and settle by history events; composites settle by their children.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrations.engine import ids, payloads
from orchestrations.engine.events import (
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    format_time,
)
from orchestrations.engine.failures import (
    EventTimeoutError,
    FailureDetails,
    TaskCancelledError,
    TaskFailedError,
    failure_type,
)
from orchestrations.engine.retries import RetryOptions

if TYPE_CHECKING:
    from orchestrations.engine.turn import Turn

NOTHING: Any = object()
"""Stands for "no value given" where None is a value."""


class Task:
    """Something that will settle. `yield` it, or `await` it."""

    __slots__ = ("_error", "_parents", "_value", "created_at", "is_cancelled", "is_completed")

    def __init__(self, created_at: datetime) -> None:
        self.created_at = created_at
        self.is_completed = False
        self.is_cancelled = False
        self._value: Any = None
        self._error: Exception | None = None
        self._parents: list[_Composite] = []

    def __await__(self) -> Generator[Task, Any, Any]:
        return (yield self)

    @property
    def is_failed(self) -> bool:
        """True if it settled with an error, a cancellation included."""
        return self._error is not None

    @property
    def result(self) -> Any:
        """The value, or raises what the task failed with; `RuntimeError` while it has not settled."""
        if not self.is_completed:
            raise RuntimeError("The task has not settled: yield or await it first.")
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def exception(self) -> Exception | None:
        """The failure, or None."""
        return self._error

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        """Settle it and tell the composites that it is part of; once settled, nothing happens any more."""
        if self.is_completed:
            return
        self.is_completed, self._value, self._error = True, value, error
        for parent in self._parents:
            parent.child_settled(self)
        self._parents = []

    def join(self, parent: _Composite) -> None:
        """Make it a part of `parent`."""
        self._parents.append(parent)

    def leaves(self) -> Iterator[Task]:
        """Yield the atomic tasks below it that have not settled."""
        if not self.is_completed:
            yield self

    def describe(self) -> dict[str, Any]:
        """Say what it waits for, for people: the members of `client.status.Wait`."""
        return {"kind": "task"}


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
        if isinstance(event, TaskFailed | SubOrchestrationInstanceFailed):
            self._fail(event)
        else:
            self.settle(payloads.load(event.result))  # type: ignore[attr-defined]
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
        delay = self._retry and self._retry.next_delay(self.attempt, details, self.created_at, self.turn.now)
        if delay is None or self._retry is None:
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
        fired = isinstance(event, TimerFired) and not self.is_completed
        self.settle()
        return fired

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
        if turn.take_event(self) or timeout_at is None:
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
        self.turn.leave_queue(self)
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
            self.turn.leave_queue(self)
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


class SettledTask(Task):
    """A task that is born settled: the answer to something that is no task, or asked for after the end."""

    __slots__ = ()

    def __init__(self, created_at: datetime, error: Exception | None = None) -> None:
        super().__init__(created_at)
        self.settle(error=error)


class _Composite(Task):
    __slots__ = ("children",)

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at)
        self.children = list(children)
        for child in self.children:
            if not isinstance(child, Task):
                raise TypeError(f"task_all and task_any take tasks made by the context, not {type(child).__name__}.")

    def child_settled(self, child: Task) -> None:
        raise NotImplementedError

    def leaves(self) -> Iterator[Task]:
        if not self.is_completed:
            for child in self.children:
                yield from child.leaves()


class AllTask(_Composite):
    """Settles when all children have: with their results in input order, or the first failure in that order (TSK-4)."""

    __slots__ = ("_open",)

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at, children)
        unsettled = [child for child in self.children if not child.is_completed]
        self._open = len(unsettled)
        for child in unsettled:
            child.join(self)
        if not self._open:
            self._settle_by_children()

    @property
    def open_count(self) -> int:
        """How many children have not settled."""
        return self._open

    def child_settled(self, child: Task) -> None:
        self._open -= 1
        if not self._open:
            self._settle_by_children()

    def _settle_by_children(self) -> None:
        failures = tuple(child._error for child in self.children if child._error is not None)
        if not failures:
            return self.settle([child._value for child in self.children])
        first = failures[0]
        first.failures = failures  # type: ignore[attr-defined]
        return self.settle(error=first)


class AnyTask(_Composite):
    """Settles with the first settled child itself, failed or not; it never raises (TSK-5)."""

    __slots__ = ()

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at, children)
        if not self.children:
            raise ValueError("task_any needs at least one task.")
        if settled := next((child for child in self.children if child.is_completed), None):
            self.settle(settled)
        else:
            for child in self.children:
                child.join(self)

    def child_settled(self, child: Task) -> None:
        self.settle(child)


def instant(turn: Turn, when: datetime | timedelta) -> datetime:
    """Return `when` as an aware instant; a `timedelta` counts from the turn's now, no zone means UTC (SRF-5)."""
    if isinstance(when, timedelta):
        return turn.now + when
    if isinstance(when, datetime):
        return when if when.tzinfo else when.replace(tzinfo=turn.now.tzinfo)
    raise TypeError(f"A time must be a datetime or a timedelta, not {type(when).__name__}.")


def _timer(turn: Turn, sequence: int, fire_at: datetime, origin: str, attempt: int | None = None) -> TimerCreated:
    return TimerCreated(timestamp=turn.now, event_id=sequence, fire_at=fire_at, origin=origin, attempt=attempt)
