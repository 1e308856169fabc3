"""Every live region: presenter, template, permission and tag. Page, answer and refresh all come through here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from orchestrations.client.status import InstanceSummary
from orchestrations.control.actors import Actor
from orchestrations.control.permissions import Permission, can
from orchestrations.web import actions, histories, presenters
from orchestrations.web.filters import ListFilter, link
from orchestrations.web.regions import Region
from orchestrations.web.sources import Source

EVERY = frozenset({"*"})
"""Watched ids of a region that any change in the hub may touch."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """How a kind of region is made. `present` and `tag` give None where what it shows is gone.

    `tag` must change whenever what `present` returns does; `watch` returns the ids of instances that it depends on.
    """

    template: str
    permission: Permission
    present: Callable[[Source, Region, Actor], Facts | None]
    tag: Callable[[Source, Region, Actor], object | None]
    watch: Callable[[Source, Region], frozenset[str]]


def render(
    region: Region, actor: Actor, source: Source | None = None, request: HttpRequest | None = None
) -> str | None:
    """Return the region's HTML for this actor, or None where he may not look or there is nothing to look at.

    `request` only lends its CSRF token to the forms.
    """
    spec = REGIONS.get(region.name)
    source = source or Source(region.hub)
    if spec is None or not can(actor, spec.permission, region.hub):
        return None
    facts = spec.present(source, region, actor)
    if facts is None:
        return None
    context = {**facts, "region": region, "tag": _digest(spec.tag(source, region, actor)), "hub": region.hub}
    return render_to_string(spec.template, context, request)


def tag(region: Region, actor: Actor, source: Source | None = None) -> str | None:
    """Return a digest of what the region shows, cheaper than rendering it; None as `render` does."""
    spec = REGIONS.get(region.name)
    if spec is None or not can(actor, spec.permission, region.hub):
        return None
    return _digest(spec.tag(source or Source(region.hub), region, actor))


def watched_ids(region: Region, source: Source | None = None) -> frozenset[str]:
    """Return the ids of the instances whose changes may change the region; `EVERY` for any."""
    spec = REGIONS.get(region.name)
    return spec.watch(source or Source(region.hub), region) if spec else frozenset()


def _digest(value: object | None) -> str | None:
    return None if value is None else hashlib.blake2s(repr(value).encode(), digest_size=8).hexdigest()


def _rows(source: Source, region: Region, actor: Actor) -> Facts:
    where = ListFilter.read(region.query)
    return {"rows": [presenters.row(region.hub, row, where) for row in source.rows(region.pin)]}


def _counts(source: Source, region: Region, actor: Actor) -> Facts:
    where = ListFilter.read(region.query)
    path = reverse("instance-list", args=[region.hub])
    chips = presenters.chips(path, where, source.counts(region.query))
    return {"chips": chips, "all_url": link(path, where.without_statuses()), "is_all": not where.statuses}


def _counts_tag(source: Source, region: Region, actor: Actor) -> object:
    counts = source.counts(region.query)
    return sorted(counts.counts.items()), sorted(counts.at_least)


def _newer(source: Source, region: Region, actor: Actor) -> Facts:
    number = source.newer(region.query, region.since)
    path = reverse("instance-list", args=[region.hub])
    return {"number": number, "is_bound": number >= 100, "url": link(path, ListFilter.read(region.query))}


def _summary(source: Source, region: Region, actor: Actor) -> Facts | None:
    instance = source.instance(region.instance_id)
    return {"view": presenters.summary(region.hub, instance)} if instance else None


def _actions(source: Source, region: Region, actor: Actor) -> Facts | None:
    instance = source.instance(region.instance_id)
    return {"view": actions.present(region.hub, instance, actor)} if instance else None


def _actions_tag(source: Source, region: Region, actor: Actor) -> object | None:
    """Changes with the buttons, not with every revision: a form that somebody fills in is not replaced in vain."""
    found: InstanceSummary | None = source.instance(region.instance_id)
    if found is None:
        return None
    events = [w for w in found.waiting if w.kind == "event"]
    return found.status.value, bool(found.blocked), events, sorted(actor.roles)


def _data(source: Source, region: Region, actor: Actor) -> Facts | None:
    instance = source.instance(region.instance_id)
    if instance is None:
        return None
    views = [presenters.payload(region.hub, instance, name) for name in ("input", "output")]
    failures = presenters.failures(instance.failure)
    return {"input": views[0], "output": views[1], "failures": failures, "is_final": instance.status.is_terminal}


def _data_tag(source: Source, region: Region, actor: Actor) -> object | None:
    marks = source.marks(region.instance_id)
    return marks and (marks.execution_id, marks.revision if marks.status.is_terminal else 0)


def _history(source: Source, region: Region, actor: Actor) -> Facts | None:
    marks = source.marks(region.instance_id)
    if marks is None:
        return None
    starts = histories.chunk_starts(marks.history_length)
    loaded = {starts[-1], int(region.since or starts[-1])}
    chunks = [
        history_chunk(source, region.instance_id, start, marks.history_length, load=start in loaded) for start in starts
    ]
    return {"chunks": chunks, "total": marks.history_length, "instance_id": region.instance_id}


def history_chunk(source: Source, instance_id: str, start: int, total: int, *, load: bool) -> histories.Chunk:
    """Return a chunk of an instance's history, with its rows or with their place only."""
    end = min(start + histories.CHUNK, max(total, start))
    url = reverse("instance-history", args=[source.hub, instance_id]) + f"?from={start}"
    rows = histories.present(source.history(instance_id, start, histories.CHUNK).rows) if load else None
    return histories.Chunk(start, end, url, rows)


def _history_tag(source: Source, region: Region, actor: Actor) -> object | None:
    marks = source.marks(region.instance_id)
    return marks and (marks.execution_id, marks.history_length)


def _children(source: Source, region: Region, actor: Actor) -> Facts | None:
    return {"children": presenters.children(region.hub, source.children(region.instance_id))}


def _children_tag(source: Source, region: Region, actor: Actor) -> object:
    return [(child.instance_id, child.status.value) for child in source.children(region.instance_id)]


def _audit(source: Source, region: Region, actor: Actor) -> Facts:
    return {"entries": presenters.audit(source.audit(region.instance_id))}


def _revision_tag(source: Source, region: Region, actor: Actor) -> object | None:
    marks = source.marks(region.instance_id)
    return marks and (marks.execution_id, marks.revision)


def _own(source: Source, region: Region) -> frozenset[str]:
    return frozenset({region.instance_id})


def _family(source: Source, region: Region) -> frozenset[str]:
    return frozenset({region.instance_id, *(child.instance_id for child in source.children(region.instance_id))})


def _spec(name: str, permission: Permission, present: Any, tag: Any, watch: Any) -> Spec:
    return Spec(f"orchestrations/instances/_{name}.html", permission, present, tag, watch)


_READ, _PAYLOADS = Permission.INSTANCES_READ, Permission.PAYLOADS_READ

REGIONS = {
    "counts": _spec("counts", _READ, _counts, _counts_tag, lambda s, r: EVERY),
    "newer": _spec("newer", _READ, _newer, lambda s, r, a: s.newer(r.query, r.since), lambda s, r: EVERY),
    "rows": _spec(
        "rows",
        _READ,
        _rows,
        lambda s, r, a: sorted(s.revisions(r.pin).items()),
        lambda s, r: frozenset(s.revisions(r.pin)),
    ),
    "summary": _spec("summary", _READ, _summary, _revision_tag, _own),
    "actions": _spec("actions", _READ, _actions, _actions_tag, _own),
    "data": _spec("data", _PAYLOADS, _data, _data_tag, _own),
    "history": _spec("history", _PAYLOADS, _history, _history_tag, _own),
    "children": _spec("children", _READ, _children, _children_tag, _family),
    "audit": _spec("audit", Permission.AUDIT_READ, _audit, lambda s, r, a: s.audit(r.instance_id), _own),
}
