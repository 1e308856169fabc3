"""Rows → the frozen values of `status`."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from orchestrations.client.status import Blocked, Failure, InstanceDetail, InstanceFacts, InstanceSummary, Wait
from orchestrations.engine.state import Status
from orchestrations.store.models import Instance, Payload, Schedule

_DECODER = json.JSONDecoder()
_KEY = re.compile(r'("(?:[^"\\]|\\.)*"):')
_FAILURE = re.compile(r'\{"ErrorType":"((?:[^"\\]|\\.)*)","ErrorMessage":"((?:[^"\\]|\\.)*)')


def summary(row: Instance, deferred: Blocked | None = None) -> InstanceSummary:
    """Return a row of the list; `deferred` is why one of its activities is stuck."""
    return InstanceSummary(**_summary_members(row, deferred))


def facts(row: Instance, deferred: Blocked | None = None) -> InstanceFacts:
    """Return one instance without its payloads."""
    return InstanceFacts(**_facts_members(row, deferred))


def detail(row: Instance, deferred: Blocked | None, input_json: str | None) -> InstanceDetail:
    """Return one instance with its payloads; the input is in its history or inbox, and not in its rows."""
    payload = _payload(row)
    return InstanceDetail(
        **_facts_members(row, deferred),
        input_json=input_json,
        output_json=payload.output if payload else None,
        failure=failure(payload.failure) if payload else None,
    )


def beginning(head: str) -> dict[str, Any]:
    """Return the members of an object's text that was cut: the whole ones, and the start of the one that is not."""
    found: dict[str, Any] = {}
    position = 1
    while key := _KEY.match(head, position):
        name = json.loads(key[1])
        try:
            member, end = _DECODER.raw_decode(head, key.end())
        except ValueError:
            end = len(head)
        if end >= len(head):  # nothing tells whether a value at the very end is whole
            return found | {name: head[key.end() :].lstrip('"').replace('\\"', '"')}
        found[name] = member
        position = end + 1
    return found


def value(text: str | None) -> Any:
    """Return the value of stored JSON text; absent is None."""
    return None if text is None else json.loads(text)


def failure(text: str | None) -> Failure | None:
    """Return stored failure details as a value."""
    return _failure(json.loads(text)) if text else None


def failure_line(head: str | None) -> str:
    """Return type and message of a failure, as far as they are in the beginning of its stored text."""
    match = _FAILURE.match(head or "")
    if match is None:
        return ""
    error_type, message = (_text(part) for part in match.groups())
    return f"{error_type}: {message}" if message else error_type


def _text(quoted: str) -> str:
    """Return a JSON string's value, also of one that was cut."""
    for end in range(len(quoted), max(len(quoted) - 12, 0), -1):  # a cut may go through an escape, or a pair of them
        try:
            return str(json.loads(f'"{quoted[:end]}"'))
        except ValueError:
            continue
    return ""


def _payload(row: Instance) -> Payload | None:
    """The row that is there once there is anything to hold."""
    return getattr(row, "payload", None)


def _summary_members(row: Instance, deferred: Blocked | None) -> dict[str, Any]:
    schedule, payload = row.schedule, _payload(row)
    return {
        "instance_id": row.instance_id,
        "name": row.name,
        "version": row.version,
        "status": Status(row.status),
        "revision": schedule.revision,
        "created_at": row.created_at,
        "updated_at": schedule.updated_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "custom_status_json": payload.custom_status if payload else None,
        "blocked": _blocked(schedule) or deferred,
        "is_deferred": deferred is not None,
        "waiting": tuple(_wait(w) for w in json.loads(schedule.waiting)),
        "parent_instance_id": row.parent.instance_id if row.parent else None,
        "tags": json.loads(row.tags),
        "status_reason": row.status_reason,
        "failure_line": failure_line(getattr(row, "failure_head", None)),
    }


def _facts_members(row: Instance, deferred: Blocked | None) -> dict[str, Any]:
    position = {"execution_id": row.schedule.execution, "history_length": row.schedule.position}
    return _summary_members(row, deferred) | position


def _blocked(row: Schedule) -> Blocked | None:
    if not row.blocked:
        return None
    facts = json.loads(row.blocked_detail)
    since = datetime.fromisoformat(facts["since"])
    return Blocked(reason=row.blocked, message=facts["message"], since=since, tries=facts["tries"])


def _wait(members: dict[str, Any]) -> Wait:
    until, since = members.get("until"), members.get("since")
    return Wait(
        kind=members["kind"],
        name=members.get("name", ""),
        sequence=members.get("sequence"),
        until=datetime.fromisoformat(until) if until else None,
        since=datetime.fromisoformat(since) if since else None,
        count=members.get("count", 1),
        ordinal=members.get("ordinal"),
    )


def _failure(members: dict[str, Any]) -> Failure:
    inner = members.get("InnerFailure")
    return Failure(
        error_type=members.get("ErrorType", ""),
        message=members.get("ErrorMessage", ""),
        stack_trace=members.get("StackTrace", ""),
        inner=_failure(inner) if inner else None,
        is_non_retriable=members.get("IsNonRetriable", False),
    )
