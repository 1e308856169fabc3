"""Every live region: presenter, template, permission and tag. Page, answer and refresh all come through here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from django.http import HttpRequest
from django.template.loader import render_to_string

from orchestrations.control.actors import Actor
from orchestrations.control.permissions import can
from orchestrations.web.fragments.history import History, chunk
from orchestrations.web.fragments.instances import Actions, Audit, Children, Data, Summary
from orchestrations.web.fragments.kinds import EVERY, Kind
from orchestrations.web.fragments.lists import Counts, Newer, Rows
from orchestrations.web.page_data import PageData
from orchestrations.web.regions import Region

__all__ = ["EVERY", "KINDS", "chunk", "render", "tag", "watched_ids"]

KINDS: Mapping[str, Kind] = {
    "counts": Counts(),
    "newer": Newer(),
    "rows": Rows(),
    "summary": Summary(),
    "actions": Actions(),
    "data": Data(),
    "history": History(),
    "children": Children(),
    "audit": Audit(),
}
"""A region's name → its kind."""


def render(
    region: Region, actor: Actor, data: PageData | None = None, request: HttpRequest | None = None
) -> str | None:
    """Return the region's HTML for this actor, or None where he may not look or there is nothing to look at.

    `request` only lends its CSRF token to the forms.
    """
    kind = _permitted(region, actor)
    data = data or PageData(region.hub)
    facts = kind.present(data, region, actor) if kind else None
    if kind is None or facts is None:
        return None
    context = {**facts, "region": region, "tag": _digest(kind.tag(data, region, actor)), "hub": region.hub}
    return render_to_string(kind.template, context, request)


def tag(region: Region, actor: Actor, data: PageData | None = None) -> str | None:
    """Return a digest of what the region shows, cheaper than rendering it; None as `render` does."""
    kind = _permitted(region, actor)
    return _digest(kind.tag(data or PageData(region.hub), region, actor)) if kind else None


def watched_ids(region: Region, data: PageData | None = None) -> frozenset[str]:
    """Return the ids of the instances whose changes may change the region; `EVERY` for any."""
    kind = KINDS.get(region.name)
    return kind.watched_ids(data or PageData(region.hub), region) if kind else frozenset()


def _permitted(region: Region, actor: Actor) -> Kind | None:
    kind = KINDS.get(region.name)
    return kind if kind and can(actor, kind.permission, region.hub) else None


def _digest(value: object | None) -> str | None:
    return None if value is None else hashlib.blake2s(repr(value).encode(), digest_size=8).hexdigest()
