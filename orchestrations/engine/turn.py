"""Turn: applies the history of one execution, and new messages, to its body.

Old and new events pass the same table of handlers; only `is_replaying` differs. A Turn may be kept and advanced again
(a live body), or thrown away and replayed: both give the same. Nothing here depends on where an event stands in the
history: numbers identify decisions, so that a history with gaps replays as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, get_args

from orchestrations.engine.events import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    Outcome,
    Scheduled,
    TimerCreated,
    TimerFired,
)
from orchestrations.engine.execution import Execution, TurnAborted
from orchestrations.engine.matching import describe, describe_body
from orchestrations.engine.results import Completion, TurnLimits, TurnResult
from orchestrations.engine.stepping import Stepper
from orchestrations.engine.waiting import describe_waiting
from orchestrations.errors import NondeterminismError


class Turn:
    """See the module. `body` is called with the execution once ExecutionStarted is applied, and gives what `Body`
    takes."""

    def __init__(self, body: Callable[[Execution], Any], limits: TurnLimits | None = None) -> None:
        self.execution = Execution(limits or TurnLimits())
        self._stepper = Stepper(body, self.execution)
        self._late: list[EventRaised] = []
        self._ignored = 0
        self._is_terminated = False

    # --- driving

    def replay(self, history: Sequence[HistoryEvent]) -> None:
        """Apply history that earlier turns committed. Raises `NondeterminismError`; the turn is of no use then."""
        self.execution.is_replaying = True
        for event in self.execution.script.read(history):
            self._apply(event)
        self.execution.is_replaying = False
        self._begin_anew()

    def advance(self, messages: Iterable[HistoryEvent], now: datetime) -> TurnResult:
        """Apply new messages one by one; return what that adds. Raises `NondeterminismError`, `LimitExceededError`."""
        execution = self.execution
        execution.now = max(now, execution.now) if execution.started else now
        received = [message for message in messages if self._apply(message)]
        asked, execution.asked, completion = execution.asked, [], self.completion
        if completion is not None:
            asked = [event for event in asked if not isinstance(event, TimerCreated)]
        result = TurnResult(
            now=execution.now,
            received=received,
            scheduled=asked,
            completion=completion,
            custom_status=execution.custom_status,
            custom_status_changed=execution.is_status_changed,
            withdrawn_timers=execution.withdrawn,
            unprocessed=self._unprocessed() if completion is not None else [],
            ignored=self._ignored,
            open_tasks=len(execution.open),
        )
        self._begin_anew()
        return result

    def close(self) -> None:
        """Seal the execution and end the suspended body: its `finally` blocks schedule nothing (ORC-4)."""
        self._stepper.close()

    def waiting(self) -> list[dict[str, Any]]:
        """Describe what the body waits for; see `describe_waiting`."""
        awaited = self._stepper.awaited
        return [] if awaited is None or self.completion is not None else describe_waiting(awaited)

    @property
    def started(self) -> ExecutionStarted | None:
        """The event that began the execution, once it is applied."""
        return self.execution.started

    @property
    def completion(self) -> Completion | None:
        """How the body has ended, or None."""
        return self._stepper.completion

    @property
    def is_sealed(self) -> bool:
        """True once nothing that the body calls has an effect any more (ORC-4)."""
        return self.execution.is_sealed

    # --- applying

    def _apply(self, event: HistoryEvent) -> bool:
        """Apply one event and let the body run on; False if it was outdated and must not enter the history."""
        handler = _HANDLERS.get(type(event))
        counts = True
        try:
            counts = handler is None or handler(self, event) is not False
            awaited = self._stepper.awaited
            if awaited is None or awaited.is_completed:
                self._stepper.run()
        except TurnAborted:
            pass
        if self.execution.refusal is not None:  # also where the body swallowed the abort
            raise self.execution.refusal
        self._ignored += not counts
        return counts

    def _on_started(self, event: ExecutionStarted) -> bool:
        if self.execution.started is not None:
            return False
        self.execution.started = event
        self.execution.custom_status = event.custom_status
        self._stepper.begin()
        return True

    def _on_turn_started(self, event: HistoryEvent) -> None:
        now = self.execution.now
        self.execution.now = max(event.timestamp, now) if self.execution.started else event.timestamp

    def _on_turn_completed(self, event: HistoryEvent) -> None:
        """What the body asked for in a committed turn is in the history, else the code has changed (NDT-2)."""
        script, asked = self.execution.script, self.execution.asked
        self.execution.asked = []
        for e in asked:
            if not script.is_excused(e):
                raise self._mismatch(e.event_id, "nothing", describe(e))
        if self.completion is not None and not script.has_ended:
            raise self._mismatch(self.execution.next_sequence, "nothing (it goes on)")

    def _on_scheduled(self, event: HistoryEvent) -> None:
        """The row is in the history: the body must have asked for it by now."""
        if self.execution.script.holds(event):
            raise self._mismatch(event.event_id, describe(event))

    def _on_execution_completed(self, event: HistoryEvent) -> None:
        self.execution.script.has_ended = True
        if self.completion is None and not self._is_terminated:
            raise self._mismatch(self.execution.next_sequence, "the end of the orchestrator")

    def _on_outcome(self, event: Outcome) -> bool:
        sequence = event.timer_id if isinstance(event, TimerFired) else event.task_scheduled_id
        task = self.execution.open.get(sequence)
        if task is None or self.completion is not None:
            return False
        counts = task.handle(event)
        if task.is_completed:
            self.execution.open.pop(sequence, None)
        return counts

    def _on_raised(self, event: EventRaised) -> None:
        if self.completion is not None or self.execution.continuation is not None:
            self._late.append(event)
        else:
            self.execution.mailbox.put(event)

    def _on_terminated(self, event: HistoryEvent) -> None:
        """The turn that holds it ran no code (MGT-2): what the body asked for in it was never written."""
        self._is_terminated = True
        self.execution.asked = []
        self.close()

    def _unprocessed(self) -> list[EventRaised]:
        """Events that nobody took, in order of arrival; those after the decision come last."""
        continuation = self.execution.continuation
        keep = continuation is None or continuation.preserve_events
        return (self.execution.mailbox.buffered() if keep else []) + self._late

    def _begin_anew(self) -> None:
        """Forget what belonged to the turns so far."""
        self.execution.withdrawn, self._late, self._ignored = [], [], 0
        self.execution.is_status_changed = False

    def _mismatch(self, sequence: int, expected: str, found: str | None = None) -> NondeterminismError:
        found = found or describe_body(self.completion, self._stepper.awaited)
        return self.execution.mismatch(sequence, expected, found)


_HANDLERS: dict[type[HistoryEvent], Callable[[Turn, Any], bool | None]] = {
    ExecutionStarted: Turn._on_started,
    ExecutionCompleted: Turn._on_execution_completed,
    ExecutionTerminated: Turn._on_terminated,
    OrchestratorStarted: Turn._on_turn_started,
    OrchestratorCompleted: Turn._on_turn_completed,
    EventRaised: Turn._on_raised,
    **dict.fromkeys(get_args(Scheduled), Turn._on_scheduled),
    **dict.fromkeys(get_args(Outcome), Turn._on_outcome),
}
