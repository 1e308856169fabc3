"""The rows of the work protocol in memory, and the values that go to and from them: see `tables`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from orchestrations.engine.events import (
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    ParentInstance,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from orchestrations.engine.plan import TurnPlan
from orchestrations.engine.state import InstanceFacts, Status

FIRST = datetime.min.replace(tzinfo=UTC)
"""The instant of what begins the next execution: before anything that has reached the instance meanwhile."""

CONTROL = (ExecutionTerminated, ExecutionSuspended, ExecutionResumed)


class Violation(Exception):
    """Something that must never be true is true."""


@dataclass(slots=True)
class Letter:
    """A message in an inbox. `execution`: it counts for that one alone; empty: for any."""

    key: int
    event: HistoryEvent
    visible_at: datetime
    dedup_key: str
    execution: str = ""

    @property
    def is_control(self) -> bool:
        """True for what counts although the instance is suspended."""
        return isinstance(self.event, CONTROL)


@dataclass(slots=True)
class InstanceRow:
    """One instance with its inbox and the history of its present execution; `past` holds the earlier ones."""

    key: int
    instance_id: str
    name: str
    execution: str
    status: Status = Status.PENDING
    due_at: datetime | None = None
    owner: str = ""
    until: datetime = FIRST
    epoch: int = 0
    history: list[HistoryEvent] = field(default_factory=list)
    past: list[list[HistoryEvent]] = field(default_factory=list)
    inbox: list[Letter] = field(default_factory=list)
    receipts: set[str] = field(default_factory=set)
    parent: int | None = None
    parent_instance: ParentInstance | None = None
    output: str | None = None
    failure: str | None = None
    custom_status: str | None = None
    turned_at: datetime | None = None

    @property
    def facts(self) -> InstanceFacts:
        """What the engine's plans must know."""
        return InstanceFacts(
            self.instance_id, self.name, self.execution, self.status, parent=self.parent_instance, version=None
        )

    def counting(self) -> Iterator[Letter]:
        """Yield the messages that count now: while suspended only management does."""
        return (m for m in self.inbox if m.is_control or self.status is not Status.SUSPENDED)

    def due(self) -> datetime | None:
        """Return when the earliest message that counts becomes visible."""
        return None if self.status.is_terminal else min((m.visible_at for m in self.counting()), default=None)


@dataclass(slots=True)
class ActivityRow:
    """An attempt that is not settled."""

    key: int
    instance: int
    execution: str
    event: TaskScheduled
    due_at: datetime
    owner: str = ""
    until: datetime = FIRST
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit turns of an instance, as it was when it was claimed."""

    instance: int
    owner: str
    epoch: int
    execution: str
    length: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt of an activity in somebody's hands."""

    key: int
    owner: str
    epoch: int
    instance: int
    execution: str
    event: TaskScheduled


@dataclass(frozen=True, slots=True)
class Result:
    """What a delivery has come to."""

    delivery: Delivery
    event: TaskCompleted | TaskFailed


@dataclass(slots=True)
class Commit:
    """One plan of a batch. `consumed` are keys of letters, `results` own outcomes that the turn has applied."""

    lease: Lease
    plan: TurnPlan | None
    consumed: list[int]
    results: list[Result] = field(default_factory=list)
    loaded: list[Letter] = field(default_factory=list)
    keep: bool = True
    share: int = 0


@dataclass(slots=True)
class Answer:
    """What became of a plan: kept with what is visible, released, or dropped with results still in hand."""

    is_dropped: bool = False
    is_kept: bool = False
    letters: list[Letter] = field(default_factory=list)
    share: list[Delivery] = field(default_factory=list)
    results_in_hand: list[Result] = field(default_factory=list)
