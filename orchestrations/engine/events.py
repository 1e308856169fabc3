"""History events, one frozen dataclass per kind, and their JSON form with the wire's member names (R§4.2, HIS-1…3).

`timestamp` is aware UTC. `event_id` is the sequence number of what code scheduled, else −1. `input` and `result` hold
JSON *text*; None means absent. Unknown members are kept in `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
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
    """An execution begins."""

    name: str
    instance_id: str
    execution_id: str
    version: str | None = None
    input: str | None = None
    parent: ParentInstance | None = None
    tags: Mapping[str, str] | None = None
    scheduled_start_time: datetime | None = None


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
    """The failed history was rewritten so that its failed work runs again."""

    reason: str | None = None
    to_event: int | None = None


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
    """An external event arrives."""

    name: str
    input: str | None = None


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


def format_time(moment: datetime) -> str:
    """Return ISO-8601 UTC with seven decimals, as the wire has it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "0Z"


def parse_time(text: str) -> datetime:
    """Read what `format_time` wrote, or any ISO-8601 text; without a zone it is UTC."""
    moment = datetime.fromisoformat(text[:26] + "+00:00" if text.endswith("Z") and len(text) == 28 else text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_members(event: HistoryEvent) -> dict[str, Any]:
    """Return the wire's members in the wire's order; absent ones are omitted."""
    members: dict[str, Any] = {
        "EventType": event.kind,
        "EventId": event.event_id,
        "Timestamp": format_time(event.timestamp),
    }
    for attribute, name, write, _ in _CODECS[type(event)]:
        value = getattr(event, attribute)
        if value is not None:
            members[name] = write(value) if write else value
    if isinstance(event, ExecutionStarted):
        members |= _instance_members(event)
    members.update(event.extra)
    return members


def from_members(members: Mapping[str, Any]) -> HistoryEvent:
    """Read an event; members that its kind does not know are kept in `extra`. KeyError for an unknown kind."""
    rest = dict(members)
    kind = KINDS[rest.pop("EventType")]
    values: dict[str, Any] = {"timestamp": parse_time(rest.pop("Timestamp")), "event_id": rest.pop("EventId", -1)}
    rest.pop("IsPlayed", None)
    if kind is ExecutionStarted:
        values |= _read_instance(rest)
    for attribute, name, _, read in _CODECS[kind]:
        value = rest.pop(name, None)
        if value is not None:
            values[attribute] = read(value) if read else value
    return kind(**values, extra=rest) if rest else kind(**values)


def encode(event: HistoryEvent) -> str:
    """Return the event as canonical JSON text."""
    return _encode_json(to_members(event))


def decode(text: str) -> HistoryEvent:
    """Read an event from JSON text."""
    return from_members(json.loads(text))


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _instance_members(event: ExecutionStarted) -> dict[str, Any]:
    members: dict[str, Any] = {
        "OrchestrationInstance": {"InstanceId": event.instance_id, "ExecutionId": event.execution_id}
    }
    if (parent := event.parent) is not None:
        members["ParentInstance"] = {
            "Name": parent.name,
            "OrchestrationInstance": {"InstanceId": parent.instance_id, "ExecutionId": parent.execution_id},
            "TaskScheduleId": parent.task_schedule_id,
            "Attempt": parent.attempt,
        }
    return members


def _read_instance(rest: dict[str, Any]) -> dict[str, Any]:
    instance = rest.pop("OrchestrationInstance")
    values: dict[str, Any] = {"instance_id": instance["InstanceId"], "execution_id": instance["ExecutionId"]}
    if parent := rest.pop("ParentInstance", None):
        values["parent"] = ParentInstance(
            name=parent["Name"],
            instance_id=parent["OrchestrationInstance"]["InstanceId"],
            execution_id=parent["OrchestrationInstance"]["ExecutionId"],
            task_schedule_id=parent["TaskScheduleId"],
            attempt=parent.get("Attempt", 1),
        )
    return values


_Codec = tuple[str, str, Callable[[Any], Any] | None, Callable[[Any], Any] | None]
_SPECIAL: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "fire_at": (format_time, parse_time),
    "scheduled_start_time": (format_time, parse_time),
    "failure_details": (FailureDetails.to_members, FailureDetails.from_members),
    "failed_tasks": (list, tuple),
    "tags": (dict, dict),
}
_WITHOUT_CODEC = {"timestamp", "event_id", "extra"}


def _codecs_of(kind: type[HistoryEvent]) -> tuple[_Codec, ...]:
    skipped = _WITHOUT_CODEC | ({"instance_id", "execution_id", "parent"} if kind is ExecutionStarted else set())
    names = [f.name for f in fields(kind) if f.name not in skipped]
    return tuple((n, "".join(p.title() for p in n.split("_")), *_SPECIAL.get(n, (None, None))) for n in names)


_CODECS: dict[type[HistoryEvent], tuple[_Codec, ...]] = {kind: _codecs_of(kind) for kind in KINDS.values()}
