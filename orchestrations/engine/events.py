"""History events, one frozen dataclass per kind (HIS-1…3). Their JSON form is in `encoding`.

`timestamp` is aware UTC. `event_id` is the sequence number of what code scheduled, else −1. `input` and `result` hold
JSON *text*; None means absent. Unknown members are kept in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from orchestrations.engine.failures import FailureDetails

_NO_EXTRA: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ParentInstance:
    """Who started a sub-orchestration, and which of its attempts waits for the outcome."""

    name: str
    instance_id: str
    execution_id: str
    task_schedule_id: int
    attempt: int = 1
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """What all kinds share."""

    kind: ClassVar[str] = ""

    timestamp: datetime
    event_id: int = -1
    extra: Mapping[str, Any] = field(default_factory=lambda: _NO_EXTRA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted(HistoryEvent):
    """An execution begins. `custom_status` is the one that the execution before it has left (CST-1)."""

    name: str
    instance_id: str
    execution_id: str
    version: str | None = None
    input: str | None = None
    parent: ParentInstance | None = None
    tags: Mapping[str, str] | None = None
    scheduled_start_time: datetime | None = None
    custom_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted(HistoryEvent):
    """An execution ends; `failed_tasks` names the chains that the final exception came from (RWD-2)."""

    orchestration_status: str
    result: str | None = None
    failure_details: FailureDetails | None = None
    failed_tasks: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTerminated(HistoryEvent):
    """Somebody ends the execution; `input` is the reason as JSON text."""

    input: str | None = None
    recurse: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSuspended(HistoryEvent):
    """From here on messages wait."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed(HistoryEvent):
    """What has waited is applied."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRewound(HistoryEvent):
    """The failed history was rewritten so that its failed work runs again.

    `undone` holds the numbers of the chains whose events have left the history: replay does not miss them there.
    """

    reason: str | None = None
    to_event: int | None = None
    undone: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinueAsNew(HistoryEvent):
    """The end of an execution that goes on under a new one (old histories only)."""

    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScheduled(HistoryEvent):
    """An activity is asked for."""

    name: str
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(HistoryEvent):
    """An activity has ended well."""

    task_scheduled_id: int
    result: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(HistoryEvent):
    """An attempt of an activity has failed."""

    task_scheduled_id: int
    reason: str | None = None
    failure_details: FailureDetails | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCreated(HistoryEvent):
    """A sub-orchestration is asked for. `is_named` says that the code gave the instance id itself."""

    name: str
    instance_id: str
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] | None = None
    attempt: int | None = None
    is_named: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceCompleted(HistoryEvent):
    """A sub-orchestration has ended well."""

    task_scheduled_id: int
    result: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationInstanceFailed(HistoryEvent):
    """A sub-orchestration has failed or was terminated."""

    task_scheduled_id: int
    reason: str | None = None
    failure_details: FailureDetails | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCreated(HistoryEvent):
    """A timer is asked for. `origin`: `timer`, `retry` or `event-timeout`; the last two share their task's number."""

    fire_at: datetime
    attempt: int | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(HistoryEvent):
    """A timer's instant has come."""

    timer_id: int
    fire_at: datetime
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted(HistoryEvent):
    """A turn begins; its timestamp is "now" for the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorCompleted(HistoryEvent):
    """A turn ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSent(HistoryEvent):
    """An external event is sent to another instance."""

    instance_id: str
    name: str
    input: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRaised(HistoryEvent):
    """An external event arrives.

    `message_id` is its place in the inbox: if nobody waits for it, it goes back there when the execution continues as
    new.
    """

    name: str
    input: str | None = None
    message_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericEvent(HistoryEvent):
    """Anything that an older version or another backend wrote and that replay does not need."""

    data: str | None = None


Scheduled = TaskScheduled | SubOrchestrationInstanceCreated | TimerCreated | EventSent
ChildOutcome = SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed
Outcome = TaskCompleted | TaskFailed | ChildOutcome | TimerFired

KINDS: dict[str, type[HistoryEvent]] = {}
for _class in list(HistoryEvent.__subclasses__()):
    _class.kind = _class.__name__
    KINDS[_class.__name__] = _class
