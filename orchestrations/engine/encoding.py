"""History events ↔ JSON with the wire's member names, in the wire's order (HIS-2, HIS-3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from orchestrations.engine.events import KINDS, ExecutionStarted, HistoryEvent, ParentInstance
from orchestrations.engine.failures import FailureDetails


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


def decode_all(text: str) -> list[HistoryEvent]:
    """Read events from JSON texts with a comma between each two."""
    return [from_members(members) for members in json.loads(f"[{text}]")]


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _instance_members(event: ExecutionStarted) -> dict[str, Any]:
    members: dict[str, Any] = {
        "OrchestrationInstance": {"InstanceId": event.instance_id, "ExecutionId": event.execution_id}
    }
    if (parent := event.parent) is not None:
        members["ParentInstance"] = {
            "Name": parent.name,
            **({} if parent.version is None else {"Version": parent.version}),
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
            version=parent.get("Version"),
        )
    return values


_Codec = tuple[str, str, Callable[[Any], Any] | None, Callable[[Any], Any] | None]
_SPECIAL: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "fire_at": (format_time, parse_time),
    "scheduled_start_time": (format_time, parse_time),
    "failure_details": (FailureDetails.to_members, FailureDetails.from_members),
    "failed_tasks": (list, tuple),
    "undone": (list, tuple),
    "tags": (dict, dict),
}
_WITHOUT_CODEC = {"timestamp", "event_id", "extra"}


def _codecs_of(kind: type[HistoryEvent]) -> tuple[_Codec, ...]:
    skipped = _WITHOUT_CODEC | ({"instance_id", "execution_id", "parent"} if kind is ExecutionStarted else set())
    names = [f.name for f in fields(kind) if f.name not in skipped]
    return tuple((n, "".join(p.title() for p in n.split("_")), *_SPECIAL.get(n, (None, None))) for n in names)


_CODECS: dict[type[HistoryEvent], tuple[_Codec, ...]] = {kind: _codecs_of(kind) for kind in KINDS.values()}
