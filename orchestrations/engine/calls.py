"""Calls of activities and sub-orchestrations, with all their attempts and back-offs (RET-2, RET-3, FAIL-1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrations.engine import ids, payloads
from orchestrations.engine.atomic import AtomicTask
from orchestrations.engine.encoding import format_time
from orchestrations.engine.events import (
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.failure_types import raised_type
from orchestrations.engine.failures import FailureDetails, TaskFailedError
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.timers import timer_event

_ACTIVITY_OUTCOMES = (TaskCompleted, TaskFailed)
_CHILD_OUTCOMES = (SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)


class CallTask(AtomicTask):
    """An activity or a sub-orchestration with all its attempts and back-offs: one chain, one number (RET-3)."""

    __slots__ = ("_input", "_retry", "attempt", "child_id", "is_child", "name", "retry_at", "version")

    def __init__(
        self,
        execution: Execution,
        name: str,
        input_: str | None,
        *,
        is_child: bool = False,
        child_id: str | None = None,
        version: str | None = None,
        retry: RetryOptions | None = None,
    ) -> None:
        super().__init__(execution, execution.take_sequence())
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
            facts |= {"kind": "retry", "until": format_time(self.retry_at)}
        return facts

    def _ask(self) -> None:
        attempt = self.attempt if self._retry else None
        if not self.is_child:
            asked: TaskScheduled | SubOrchestrationInstanceCreated = TaskScheduled(
                timestamp=self.execution.now, event_id=self.sequence, name=self.name, input=self._input, attempt=attempt
            )
        else:
            asked = SubOrchestrationInstanceCreated(
                timestamp=self.execution.now,
                event_id=self.sequence,
                name=self.name,
                instance_id=self.child_id or self._default_id(),
                version=self.version,
                input=self._input,
                attempt=attempt,
                is_named=True if self.child_id else None,
            )
        self.execution.ask(asked, self)

    def _default_id(self) -> str:
        return ids.child_id(self.execution.instance_id, self.execution.execution_id, self.sequence, self.attempt)

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
            delay = (
                None if retry is None else retry.next_delay(self.attempt, details, self.created_at, self.execution.now)
            )
        except BaseException as error:  # the author's `handle`: its failure is the orchestrator's, raised at the await
            self.settle(error=error)
            return
        if delay is None:
            self.settle(error=self._error_of(details))
            return
        self.retry_at = self.execution.now + delay
        self.execution.ask(timer_event(self.execution, self.sequence, self.retry_at, "retry", self.attempt), self)

    def _error_of(self, details: FailureDetails) -> TaskFailedError:
        kind, noun = ("orchestration", "Sub-orchestration") if self.is_child else ("activity", "Activity")
        prefix = "" if self.is_child else f"{self.execution.instance_id}: "
        text = f"{prefix}{noun} task #{self.sequence} failed: {details.message}"
        return raised_type(details).make(text, details, kind=kind, sequence=self.sequence, attempts=self.attempt)
