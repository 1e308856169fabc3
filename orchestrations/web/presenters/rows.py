"""Rows of the list, and the chips of its filter. Pure, and it cannot throw: what is unknown is shown plainly."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from orchestrations.client.status import InstanceSummary, StatusCounts
from orchestrations.engine.state import Status
from orchestrations.web import payloads
from orchestrations.web.filters import ListFilter, link
from orchestrations.web.payloads import visible
from orchestrations.web.statuses import BADGES, Badge, badge, derive
from orchestrations.web.why_waiting import Part, explain, plain

TAIL = 6
CHIPS = (Status.PENDING, Status.RUNNING, Status.SUSPENDED, Status.COMPLETED, Status.FAILED, Status.TERMINATED)
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


def status_slugs() -> Collection[str]:
    """Return the slugs that the style sheet must know."""
    return [badge.slug for badge in BADGES.values()]


def _count(status: Status, counts: StatusCounts) -> str:
    return f"{counts.counts.get(status, 0):,}" + ("+" if status in counts.at_least else "")
