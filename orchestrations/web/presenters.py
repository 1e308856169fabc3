"""Values from `client.status` → what templates show. Pure, and it cannot throw: what is unknown is shown plainly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from orchestrations.client.status import AuditRow, ChildSummary, Failure, InstanceDetail, InstanceSummary, StatusCounts
from orchestrations.engine.state import Status
from orchestrations.web import payloads
from orchestrations.web.filters import ListFilter, link
from orchestrations.web.payloads import PayloadView, visible
from orchestrations.web.sentences import Part, explain, plain
from orchestrations.web.statuses import BADGES, Badge, badge, derive

TAIL = 6
CHIPS = (Status.PENDING, Status.RUNNING, Status.SUSPENDED, Status.COMPLETED, Status.FAILED, Status.TERMINATED)
JSON_MEMBERS = ("Input", "Result", "Data")
DISPLAY_NAME = "durabletask.displayName"


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the list. `key` is its DOM id: stable, and made of harmless characters."""

    id: str
    key: str
    shown: str
    head: str
    tail: str
    url: str
    name: str
    title: str
    badge: Badge
    waiting: tuple[Part, ...]
    waiting_text: str
    custom: str
    created_at: datetime
    updated_at: datetime
    started_at: datetime
    ended_at: datetime | None
    is_final: bool
    left_filter: bool


@dataclass(frozen=True, slots=True)
class ChipView:
    """A status in the filter bar, with how many there are; a click adds or removes it."""

    badge: Badge
    url: str
    count: str
    is_on: bool


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


@dataclass(frozen=True, slots=True)
class FailureView:
    """A failure and, below it, what caused it."""

    error_type: str
    message: str
    stack: str
    is_final: bool


def instance_url(hub: str, instance_id: str, page: str = "instance-detail") -> str:
    """Return an address of an instance; its id is quoted."""
    return reverse(page, args=[hub, instance_id])


def row(hub: str, instance: InstanceSummary, where: ListFilter | None = None) -> RowView:
    """Return a row of the list; `where` tells whether it still belongs to what was asked for."""
    sentence = explain(instance)
    shown = visible(instance.instance_id)
    return RowView(
        id=instance.instance_id,
        key=hashlib.blake2s(instance.instance_id.encode(), digest_size=8).hexdigest(),
        shown=shown,
        head=shown[:-TAIL] if len(shown) > 2 * TAIL else shown,
        tail=shown[-TAIL:] if len(shown) > 2 * TAIL else "",
        url=instance_url(hub, instance.instance_id),
        name=visible(instance.name),
        title=visible(instance.tags.get(DISPLAY_NAME, "")),
        badge=derive(instance),
        waiting=sentence,
        waiting_text=plain(sentence),
        custom=payloads.one_line(instance.custom_status_json),
        created_at=instance.created_at,
        updated_at=instance.updated_at,
        started_at=instance.started_at or instance.created_at,
        ended_at=instance.completed_at if instance.status.is_terminal else None,
        is_final=instance.status.is_terminal,
        left_filter=bool(where and where.statuses and instance.status not in where.statuses),
    )


def chips(path: str, where: ListFilter, counts: StatusCounts) -> tuple[ChipView, ...]:
    """Return one chip for each status that occurs in practice, and for each that is being asked for."""
    shown = [*CHIPS, *(status for status in where.statuses if status not in CHIPS)]
    return tuple(
        ChipView(badge(s.value), link(path, where.toggled(s)), _count(s, counts), is_on=s in where.statuses)
        for s in shown
    )


def summary(hub: str, instance: InstanceDetail) -> SummaryView:
    """Return the head of an instance's page."""
    parent = instance.parent_instance_id
    blocked = instance.blocked
    custom = payloads.present(
        "custom-status", "Custom status", instance.custom_status_json, _payload_url(hub, instance, "custom-status")
    )
    return SummaryView(
        row=row(hub, instance),
        status_reason=visible(instance.status_reason),
        version=visible(instance.version or ""),
        execution_id=instance.execution_id,
        events=instance.history_length,
        tags=tuple((visible(k), visible(v)) for k, v in instance.tags.items()),
        parent=LinkView(visible(parent), instance_url(hub, parent)) if parent else None,
        custom=custom,
        blocked_message=visible(blocked.message) if blocked else "",
        blocked_tries=blocked.tries if blocked else 0,
        completed_at=instance.completed_at if instance.status.is_terminal else None,
    )


def stored(instance: InstanceDetail, name: str) -> str | None:
    """Return the stored text of one of an instance's payloads by its name in addresses."""
    values = {
        "input": instance.input_json,
        "output": instance.output_json,
        "custom-status": instance.custom_status_json,
    }
    return values.get(name)


def payload(hub: str, instance: InstanceDetail, name: str, *, whole: bool = False) -> PayloadView | None:
    """Return one of an instance's payloads."""
    title = name.replace("-", " ").capitalize()
    return payloads.present(name, title, stored(instance, name), _payload_url(hub, instance, name), whole=whole)


def failures(failure: Failure | None) -> tuple[FailureView, ...]:
    """Return a failure and its causes, outermost first."""
    found: list[FailureView] = []
    while failure is not None and len(found) < 20:
        stack = visible(failure.stack_trace)
        found.append(
            FailureView(visible(failure.error_type), visible(failure.message), stack, failure.is_non_retriable)
        )
        failure = failure.inner
    return tuple(found)


def members(found: Mapping[str, Any]) -> tuple[PayloadView, ...]:
    """Return an event's members: those that hold JSON text as JSON, the others as they are."""
    views = []
    for name, value in found.items():
        is_plain = isinstance(value, str) and name not in JSON_MEMBERS
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        view = None if is_plain else payloads.present(name.lower(), visible(name), text)
        views.append(view or PayloadView(name.lower(), visible(name), (("", visible(text)),), len(text.encode())))
    return tuple(views)


def children(hub: str, rows: Sequence[ChildSummary]) -> tuple[LinkView, ...]:
    """Return an instance's children."""
    return tuple(
        LinkView(visible(c.instance_id), instance_url(hub, c.instance_id), visible(c.name), badge(c.status.value))
        for c in rows
    )


def audit(rows: Sequence[AuditRow]) -> tuple[dict[str, object], ...]:
    """Return what was done to an instance."""
    return tuple(
        {"at": r.at, "actor": visible(r.actor), "action": r.action, "reason": visible(r.reason), "result": r.result}
        for r in rows
    )


def status_slugs() -> Collection[str]:
    """Return the slugs that the style sheet must know."""
    return [badge.slug for badge in BADGES.values()]


def _count(status: Status, counts: StatusCounts) -> str:
    return f"{counts.counts.get(status, 0):,}" + ("+" if status in counts.at_least else "")


def _payload_url(hub: str, instance: InstanceDetail, name: str) -> str:
    return reverse("instance-payload", args=[hub, instance.instance_id, name])
