"""The head of an instance's page, its children and its audit. Pure, and it cannot throw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrations.client.status import AuditRow, ChildSummary, InstanceFacts
from orchestrations.control.staleness import VERBS
from orchestrations.web.payloads import PayloadView, visible
from orchestrations.web.presenters import contents
from orchestrations.web.presenters.rows import RowView, instance_url, row
from orchestrations.web.statuses import Badge, badge
from orchestrations.web.why_waiting import Part, explain_all


@dataclass(frozen=True, slots=True)
class SummaryView:
    """The head of an instance's page."""

    row: RowView
    status_reason: str
    version: str
    execution_id: str
    events: int
    tags: tuple[tuple[str, str], ...]
    parent: LinkView | None
    custom: PayloadView | None
    waits: tuple[tuple[Part, ...], ...]
    blocked_message: str
    blocked_tries: int
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class LinkView:
    """Another instance."""

    id: str
    url: str
    name: str = ""
    badge: Badge | None = None


def summary(hub: str, instance: InstanceFacts) -> SummaryView:
    """Return the head of an instance's page."""
    parent = instance.parent_instance_id
    blocked = instance.blocked
    custom = contents.payload(hub, instance.instance_id, "custom-status", instance.custom_status_json)
    return SummaryView(
        row=row(hub, instance),
        status_reason=visible(instance.status_reason),
        version=visible(instance.version or ""),
        execution_id=instance.execution_id,
        events=instance.history_length,
        tags=tuple((visible(k), visible(v)) for k, v in instance.tags.items()),
        parent=LinkView(visible(parent), instance_url(hub, parent)) if parent else None,
        custom=custom,
        waits=explain_all(instance),
        blocked_message=visible(blocked.message) if blocked else "",
        blocked_tries=blocked.tries if blocked else 0,
        completed_at=instance.completed_at if instance.status.is_terminal else None,
    )


def children(hub: str, rows: Sequence[ChildSummary]) -> tuple[LinkView, ...]:
    """Return an instance's children."""
    return tuple(
        LinkView(visible(c.instance_id), instance_url(hub, c.instance_id), visible(c.name), badge(c.status.value))
        for c in rows
    )


def audit(rows: Sequence[AuditRow]) -> tuple[dict[str, object], ...]:
    """Return what was done to an instance."""
    return tuple(
        {"at": r.at, "actor": visible(r.actor), "action": _verb(r), "reason": visible(r.reason), "result": r.result}
        for r in rows
    )


def _verb(entry: AuditRow) -> str:
    """Return what somebody did, or tried in vain."""
    done = VERBS.get(entry.action)
    return done if done and entry.result == "done" else f"tried to {entry.action}" if done else entry.action
