"""Statuses, what a plan must know of an instance, and the fold of a history into what readers see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from orchestrations.engine.events import (
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    HistoryEvent,
    OrchestratorStarted,
    ParentInstance,
)
from orchestrations.engine.failures import FailureDetails


class Status(StrEnum):
    """The wire's runtime statuses. The last two are accepted in filters and old histories, never produced (INS-2)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"

    @property
    def is_terminal(self) -> bool:
        """True if the instance has ended."""
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED, Status.CANCELED})
LIVE = frozenset({Status.PENDING, Status.RUNNING, Status.SUSPENDED})


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What a plan must know of an instance besides its turn."""

    instance_id: str
    name: str
    execution_id: str
    status: Status
    version: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    parent: ParentInstance | None = None


@dataclass(slots=True)
class FoldedState:
    """What a history alone tells of an instance. A custom status is no event, so it is not in here."""

    status: Status = Status.PENDING
    name: str = ""
    execution_id: str = ""
    input: str | None = None
    output: str | None = None
    failure: FailureDetails | None = None
    started_at: datetime | None = None
    last_turn_at: datetime | None = None
    completed_at: datetime | None = None


def fold(history: Iterable[HistoryEvent]) -> FoldedState:
    """Return what the history tells, the one truth that the instance's columns must agree with."""
    state = FoldedState()
    for event in history:
        match event:
            case OrchestratorStarted():
                state.last_turn_at = event.timestamp
            case ExecutionStarted():
                state.status, state.name, state.input = Status.RUNNING, event.name, event.input
                state.execution_id, state.started_at = event.execution_id, event.timestamp
            case ExecutionSuspended():
                state.status = Status.SUSPENDED
            case ExecutionResumed() | ExecutionRewound():
                state.status = Status.RUNNING if state.started_at else Status.PENDING
            case ExecutionCompleted():
                state.status = Status(event.orchestration_status)
                state.output, state.failure, state.completed_at = event.result, event.failure_details, event.timestamp
    return state
