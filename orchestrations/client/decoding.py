"""Rows → the frozen values of `status`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from orchestrations.client.status import Blocked, Failure, InstanceDetail, InstanceFacts, InstanceSummary, Wait
from orchestrations.engine.state import Status
from orchestrations.store.models import Instance


def summary(row: Instance) -> InstanceSummary:
    """Return a row of the list."""
    return InstanceSummary(**_summary_members(row))


def facts(row: Instance) -> InstanceFacts:
    """Return one instance without its payloads."""
    return InstanceFacts(**_summary_members(row), execution_id=row.execution, history_length=row.next_sequence)


def detail(row: Instance) -> InstanceDetail:
    """Return one instance with its payloads."""
    return InstanceDetail(
        **_summary_members(row),
        execution_id=row.execution,
        history_length=row.next_sequence,
        input_json=row.input,
        output_json=row.output,
        failure=failure(row.failure),
    )


def value(text: str | None) -> Any:
    """Return the value of stored JSON text; absent is None."""
    return None if text is None else json.loads(text)


def failure(text: str | None) -> Failure | None:
    """Return stored failure details as a value."""
    return _failure(json.loads(text)) if text else None


def _summary_members(row: Instance) -> dict[str, Any]:
    return {
        "instance_id": row.instance_id,
        "name": row.name,
        "version": row.version,
        "status": Status(row.status),
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "custom_status_json": row.custom_status,
        "blocked": _blocked(row),
        "waiting": tuple(_wait(w) for w in json.loads(row.waiting)),
        "parent_instance_id": row.parent.instance_id if row.parent else None,
        "tags": json.loads(row.tags),
        "status_reason": row.status_reason,
    }


def _blocked(row: Instance) -> Blocked | None:
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
