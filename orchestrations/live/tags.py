"""What a socket asks of the database, in a worker thread: who is it, may it look, and what do its regions show now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth import get_user

from orchestrations.client import queries
from orchestrations.control.actors import Actor, actor_from_user
from orchestrations.control.permissions import Permission, can
from orchestrations.web import fragments
from orchestrations.web.page_data import PageData
from orchestrations.web.regions import Region, read_key

SHARED_SECONDS = 1.0
SHARED_LIMIT = 2000


class UnknownRegionError(Exception):
    """A browser of ours does not send this."""


@dataclass(frozen=True, slots=True)
class WatchedRegion:
    """A region that a socket shows, the instances whose changes touch it, and the tag of what it shows now."""

    region: Region
    ids: frozenset[str]
    tag: str


_shared: dict[tuple[Any, ...], tuple[float, WatchedRegion | None]] = {}


async def find_actor(scope: Mapping[str, Any]) -> Actor | None:
    """Return whose session this is *now*: read again from the database, for it may have ended since the handshake."""
    found: Actor | None = await database_sync_to_async(_find_actor)(scope)
    return found


async def may_look(actor: Actor, hub: str) -> bool:
    """Tell whether the actor may look at the hub, which has to exist."""
    may: bool = can(actor, Permission.INSTANCES_READ, hub) and await database_sync_to_async(queries.has_hub)(hub)
    return may


async def read_regions(actor: Actor, hub: str, keys: Iterable[Any]) -> dict[str, WatchedRegion]:
    """Return name → region for those keys that this actor may watch and that are still there.

    Whatever it asks of the database, sockets of a process that show the same to the same roles ask once a second.
    Raises `UnknownRegionError` for a key that we have not signed.
    """
    found: dict[str, WatchedRegion] = await database_sync_to_async(_read_regions)(actor, hub, keys)
    return found


class _Request:
    """What `get_user` needs of a request."""

    def __init__(self, session: Any) -> None:
        self.session = session


def _find_actor(scope: Mapping[str, Any]) -> Actor | None:
    session = scope.get("session")
    if session is None or not session.session_key or not session.exists(session.session_key):
        return None
    fresh = session.__class__(session.session_key)  # not type(): Channels wraps it
    return actor_from_user(get_user(_Request(fresh)))  # type: ignore[arg-type]


def _read_regions(actor: Actor, hub: str, keys: Iterable[Any]) -> dict[str, WatchedRegion]:
    data, found = PageData(hub), {}
    for key in keys:
        region = read_key(key)
        if region is None or region.hub != hub:
            raise UnknownRegionError
        watched = _read_shared(region, actor, data)
        if watched is not None:
            found[region.name] = watched
    return found


def _read_shared(region: Region, actor: Actor, data: PageData) -> WatchedRegion | None:
    key, now = (region, actor.roles), time.monotonic()
    held = _shared.get(key)
    if held and now - held[0] < SHARED_SECONDS:
        return held[1]
    tag = fragments.tag(region, actor, data)
    watched = None if tag is None else WatchedRegion(region, fragments.watched_ids(region, data), tag)
    if len(_shared) > SHARED_LIMIT:
        _shared.clear()
    _shared[key] = now, watched
    return watched


def forget() -> None:
    """Forget what is shared."""
    _shared.clear()
