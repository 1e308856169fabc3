"""Turn: drives one body over the history of one execution, and on over new messages.

Old and new events pass the same table of handlers; only `is_replaying` differs. What the body asks for is matched by
number, kind and name with what the history holds; what the history does not hold is new, and becomes true when the
caller commits it. A Turn may be kept and advanced again (a live body), or thrown away and replayed: both give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, get_args

from orchestrations.engine import payloads
from orchestrations.engine.asks import CallTask, EventTask, TimerTask
from orchestrations.engine.bodies import Body, Finished
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
from orchestrations.engine.failures import FailureDetails, failed_tasks
from orchestrations.engine.mailbox import Mailbox
from orchestrations.engine.matching import Script, describe, describe_body, same
from orchestrations.engine.results import Completion, Continuation, TurnLimits, TurnResult
from orchestrations.engine.state import Status
from orchestrations.engine.tasks import SettledTask, Task
from orchestrations.errors import DurableError, NondeterminismError, PayloadError

TASK_REQUIRED = (
    "An orchestrator may only yield or await tasks made by its context, not {}. Move other work into an activity."
)


class TurnAborted(BaseException):
    """Ends the body's step when the turn was refused; user code cannot swallow it by `except Exception`."""


class Turn:
    """See the module. `body` is called with this turn once ExecutionStarted is applied, and gives what `Body` takes."""

    def __init__(self, body: Callable[[Turn], Any], limits: TurnLimits | None = None) -> None:
        self._start, self._limits = body, limits or TurnLimits()
        self.payload_limits = self._limits.payload
        self._body: Body | None = None
        self._awaited: Task | None = None
        self._open: dict[int, CallTask | TimerTask | EventTask] = {}
        self._script = Script()
        self._asked: list[Scheduled] = []
        self.mailbox = Mailbox()
        self._sequence = 0
        self._late: list[EventRaised] = []
        self._withdrawn: list[int] = []
        self._ignored = 0
        self._continuation: Continuation | None = None
        self._refusal: DurableError | None = None
        self.is_sealed = False
        self.started: ExecutionStarted | None = None
        self.now: datetime = datetime.min
        self.is_replaying = False
        self.completion: Completion | None = None
        self.custom_status: str | None = None
        self.uuid_counter = 0

    # --- driving

    def replay(self, history: Sequence[HistoryEvent]) -> None:
        """Apply history that earlier turns committed. Raises `NondeterminismError`; the turn is of no use then."""
        self.is_replaying = True
        for event in self._script.read(history):
            self._apply(event)
        self.is_replaying = False
        self._withdrawn, self._late, self._ignored = [], [], 0

    def advance(self, messages: Iterable[HistoryEvent], now: datetime) -> TurnResult:
        """Apply new messages one by one; return what that adds. Raises `NondeterminismError`, `LimitExceededError`."""
        self.now = max(now, self.now) if self.started else now
        status_before, received = self.custom_status, []
        for message in messages:
            if self._apply(message):
                received.append(message)
        asked, self._asked = self._asked, []
        if self.completion is not None:
            asked = [event for event in asked if not isinstance(event, TimerCreated)]
        result = TurnResult(
            now=self.now,
            received=received,
            scheduled=asked,
            completion=self.completion,
            custom_status=self.custom_status,
            custom_status_changed=self.custom_status is not status_before,
            withdrawn_timers=self._withdrawn,
            unprocessed=self._unprocessed() if self.completion is not None else [],
            ignored=self._ignored,
            open_tasks=len(self._open),
        )
        self._withdrawn, self._late, self._ignored = [], [], 0
        return result

    def close(self) -> None:
        """Seal the context and end the suspended body: its `finally` blocks schedule nothing (ORC-4)."""
        self.is_sealed = True
        if self._body is not None:
            self._body.close()
            self._body = self._awaited = None

    def waiting(self, limit: int = 20) -> list[dict[str, Any]]:
        """Describe what the body waits for, at most `limit` tasks."""
        leaves = self._awaited.leaves() if self._awaited is not None and self.completion is None else ()
        return [leaf.describe() for leaf in islice(leaves, limit)]

    @property
    def instance_id(self) -> str:
        """The instance's id."""
        assert self.started is not None
        return self.started.instance_id

    # --- what contexts and tasks call

    def take_sequence(self) -> int:
        """Return the next sequence number, from 1 (TSK-1)."""
        self._sequence += 1
        return self._sequence

    def ask(self, event: Scheduled, task: CallTask | TimerTask | EventTask | None = None) -> None:
        """Take a decision: find it in the history, or note it as new. After the end it has no effect."""
        if task is not None:
            self._open[event.event_id] = task
        held = self._script.take(event)
        if held is None:
            if not self.is_replaying and (excess := self._limits.check_fan_out(len(self._asked), len(self._open))):
                self._refuse(excess)
            self._asked.append(event)
        elif not same(held, event):
            self._refuse(self._mismatch(event.event_id, describe(held), describe(event)))

    def withdraw_timer(self, sequence: int) -> None:
        """The timer is of no use any more."""
        self._open.pop(sequence, None)
        self._withdrawn.append(sequence)

    def set_custom_status(self, status: Any) -> None:
        """Set it for the commit of this turn (CST-1). Raises `PayloadError` beyond 16 KiB."""
        self.custom_status = payloads.dump(status, "The custom status", self._limits.custom_status)

    def continue_as_new(self, continuation: Continuation) -> None:
        """End the execution when the body next yields, awaits or returns; later calls have no effect (CAN-1)."""
        if self._continuation is None and not self.is_sealed:
            self._continuation = continuation
            self.is_sealed = True

    # --- stepping the body

    def _step(self) -> None:
        """Start the body, or let it run on by one step with what it awaited."""
        try:
            if self._body is None:
                self._body = Body(self._start(self))
                return
            yielded = self._body.step(*(self._awaited.outcome() if self._awaited else ()))
        except Finished as finished:
            self._end(finished.value)
        except (TurnAborted, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._end_failed(error)
        else:
            if self._continuation is not None:
                self._end(None)
            elif isinstance(yielded, Task):
                self._awaited = yielded
            else:
                self._awaited = SettledTask(self.now, TypeError(TASK_REQUIRED.format(type(yielded).__name__)))

    def _run(self) -> None:
        """Step the body while what it awaits has settled (ORC-5)."""
        while self._body is not None and self._refusal is None and self.completion is None:
            if self._awaited is not None and not self._awaited.is_completed:
                return
            self._step()

    def _end(self, value: Any) -> None:
        try:
            if self._continuation is not None:
                self.completion = Completion(Status.CONTINUED_AS_NEW, continuation=self._continuation)
            else:
                text = payloads.dump(value, f"The result of {self._name}", self._limits.payload)
                self.completion = Completion(Status.COMPLETED, result=text)
        except PayloadError as error:
            self._end_failed(error)
        self.close()

    def _end_failed(self, error: BaseException) -> None:
        if self._continuation is not None:
            return self._end(None)  # an exception after the decision changes nothing (CAN-1)
        failure, tasks = FailureDetails.from_exception(error), failed_tasks(error) or None
        self.completion = Completion(Status.FAILED, failure=failure, failed_tasks=tasks)
        return self.close()

    def _apply(self, event: HistoryEvent) -> bool:
        """Apply one event and let the body run on; False if it was outdated and must not enter the history."""
        handler = _HANDLERS.get(type(event))
        counts = True
        try:
            counts = handler is None or handler(self, event) is not False
            self._run()
        except TurnAborted:
            pass
        if self._refusal is not None:  # also where the body swallowed the abort
            raise self._refusal
        self._ignored += not counts
        return counts

    def _on_started(self, event: ExecutionStarted) -> bool:
        if self.started is not None:
            return False
        self.started = event
        self._step()
        return True

    def _on_turn_started(self, event: HistoryEvent) -> None:
        self.now = max(event.timestamp, self.now) if self.started else event.timestamp

    def _on_turn_completed(self, event: HistoryEvent) -> None:
        """What the body asked for in a committed turn is in the history, else the code has changed (NDT-2)."""
        if self._script.is_lenient:
            return
        asked = [e for e in self._asked if not (self._script.has_ended and isinstance(e, TimerCreated))]
        if asked:
            raise self._mismatch(asked[0].event_id, "nothing", describe(asked[0]))
        self._asked = []
        if self.completion is not None and not self._script.has_ended:
            raise self._mismatch(self._sequence + 1, "nothing (it goes on)")

    def _on_scheduled(self, event: HistoryEvent) -> None:
        """The row is in the history: the body must have asked for it by now."""
        if self._script.holds(event):
            raise self._mismatch(event.event_id, describe(event))

    def _on_execution_completed(self, event: HistoryEvent) -> None:
        self._script.has_ended = True
        if self.completion is None and not self._script.is_lenient:
            raise self._mismatch(self._sequence + 1, "the end of the orchestrator")

    def _on_outcome(self, event: Outcome) -> bool:
        sequence = event.timer_id if isinstance(event, TimerFired) else event.task_scheduled_id
        task = self._open.get(sequence)
        if task is None or self.completion is not None:
            return False
        counts = task.handle(event)
        if task.is_completed:
            self._open.pop(sequence, None)
        return counts

    def _on_raised(self, event: EventRaised) -> None:
        if self.completion is not None or self._continuation is not None:
            self._late.append(event)
        else:
            self.mailbox.put(event)

    def _on_terminated(self, event: HistoryEvent) -> None:
        self._script.is_lenient = True
        self.close()

    def _unprocessed(self) -> list[EventRaised]:
        """Events that nobody took, in order of arrival; those after the decision come last."""
        keep = self._continuation is None or self._continuation.preserve_events
        return (self.mailbox.buffered() if keep else []) + self._late

    def _refuse(self, error: DurableError) -> None:
        self._refusal = self._refusal or error
        raise TurnAborted

    def _mismatch(self, sequence: int, expected: str, found: str | None = None) -> NondeterminismError:
        found = found or describe_body(self.completion, self._awaited)
        return NondeterminismError(self._name, sequence, expected, found)

    @property
    def _name(self) -> str:
        return self.started.name if self.started else "?"


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
