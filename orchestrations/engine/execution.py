"""Execution: one life of an instance as its body sees it, and the decisions that the body takes in it.

Contexts and tasks speak to it and to nothing else of the engine. A decision is matched by number, kind and name with
what the history holds; what the history does not hold is new, and becomes true when the caller commits the turn.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from orchestrations.engine import payloads
from orchestrations.engine.events import ExecutionStarted, HistoryEvent, Scheduled
from orchestrations.engine.mailbox import Mailbox
from orchestrations.engine.matching import Script, describe, same
from orchestrations.engine.results import Continuation, TurnLimits
from orchestrations.errors import DurableError, NondeterminismError, PayloadError


class TurnAborted(BaseException):
    """Ends the body's step when the turn was refused; user code cannot swallow it by `except Exception`."""


class Asking(Protocol):
    """A task that has asked for something under a number, and takes the events that carry it."""

    is_completed: bool

    def handle(self, event: HistoryEvent) -> bool:
        """Take an event; False if it is outdated (TSK-7)."""


class Execution:
    """See the module. `refusal`: why this turn cannot be used; what the body does after it does not count."""

    def __init__(self, limits: TurnLimits) -> None:
        self._limits = limits
        self._sequence = self._waits = 0
        self.started: ExecutionStarted | None = None
        self.now: datetime = datetime.min
        self.is_replaying = False
        self.is_sealed = False
        self.custom_status: str | None = None
        self.is_status_changed = False
        self.continuation: Continuation | None = None
        self.refusal: DurableError | None = None
        self.uuid_counter = 0
        self.mailbox = Mailbox()
        self.script = Script()
        self.open: dict[int, Asking] = {}
        self.asked: list[Scheduled] = []
        self.withdrawn: list[int] = []

    # --- facts

    @property
    def name(self) -> str:
        """The orchestrator's name."""
        return self.started.name if self.started else "?"

    @property
    def instance_id(self) -> str:
        """The instance's id."""
        assert self.started is not None
        return self.started.instance_id

    @property
    def execution_id(self) -> str:
        """This execution's id."""
        assert self.started is not None
        return self.started.execution_id

    @property
    def default_version(self) -> str | None:
        """The version of children that are started without one: the worker's, never the parent's (VER-1)."""
        return self._limits.default_version

    @property
    def next_sequence(self) -> int:
        """The number that the next decision takes."""
        return self._sequence + 1

    @property
    def payload_limits(self) -> payloads.Limits:
        """Bounds of a payload that no history event records: none while replaying (LIM-1)."""
        return payloads.UNLIMITED if self.is_replaying else self._limits.payload

    @property
    def continuation_limits(self) -> payloads.Limits:
        """Bounds of the next execution's input. They count on replay too: one that was accepted has ended this
        execution, so what is replayed is one that was refused."""
        return self._limits.payload

    def dump_input(self, kind: type[Scheduled], name: str, value: Any, what: str) -> str | None:
        """Return the text of the next decision's input. Raises `PayloadError`.

        Its bounds do not count where the history holds that decision with this very input (LIM-1). One that was refused
        for its size is not in the history: it meets the bounds again, and is refused again, also where the code asked
        for the same function with less instead.
        """
        if value is None:
            return None
        try:
            return payloads.dump(value, what, self._limits.payload)
        except PayloadError:
            held = self.script.first_input(kind, self.next_sequence, name) if self.is_replaying else None
            if held is None or held != payloads.dump(value, what, payloads.UNLIMITED):
                raise
            return held

    # --- decisions

    def take_sequence(self) -> int:
        """Return the next sequence number, from 1 (TSK-1)."""
        self._sequence += 1
        return self._sequence

    def take_ordinal(self) -> int:
        """Return the next number of a wait for an event, from 1: waits take no sequence number (TSK-1)."""
        self._waits += 1
        return self._waits

    def ask(self, event: Scheduled, task: Asking | None = None) -> None:
        """Take a decision: find it in the history, or note it as new. After the end it has no effect."""
        if task is not None:
            self.open[event.event_id] = task
        held = self.script.take(event)
        if held is None:
            if not self.is_replaying and (excess := self._limits.check_fan_out(len(self.asked), len(self.open))):
                self.refuse(excess)
            self.asked.append(event)
        elif not same(held, event):
            self.refuse(self.mismatch(event.event_id, describe(held), describe(event)))

    def withdraw_timer(self, sequence: int) -> None:
        """The timer is of no use any more."""
        self.open.pop(sequence, None)
        self.withdrawn.append(sequence)

    def set_custom_status(self, status: Any) -> None:
        """Set it for the commit of this turn (CST-1). Raises `PayloadError` beyond its limit, but not on replay."""
        limits = payloads.UNLIMITED if self.is_replaying else self._limits.custom_status
        self.custom_status = payloads.dump(status, "The custom status", limits)
        self.is_status_changed = True

    def continue_as_new(self, continuation: Continuation) -> None:
        """End the execution when the body next yields, awaits or returns; later calls have no effect (CAN-1)."""
        if self.continuation is None and not self.is_sealed:
            self.continuation = continuation
            self.is_sealed = True

    def refuse(self, error: DurableError) -> None:
        """Refuse the turn: end the body's step by `TurnAborted`. The first refusal counts."""
        self.refusal = self.refusal or error
        raise TurnAborted

    def mismatch(self, sequence: int, expected: str, found: str) -> NondeterminismError:
        """Return the error that says what the history holds and what the code asked for (NDT-3)."""
        return NondeterminismError(self.name, sequence, expected, found)
