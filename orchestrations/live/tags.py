"""What a socket asks of the database, in worker threads: who is it, what may it watch, and the tags of that."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth import get_user

from orchestrations.control.actors import Actor, actor_from_user
from orchestrations.web import fragments
from orchestrations.web.regions import Region, read_key
from orchestrations.web.sources import Source

SHARED_SECONDS = 1.0
SHARED_LIMIT = 2000

_shared: dict[tuple[Any, ...], tuple[float, str | None]] = {}


async def find_actor(scope: Mapping[str, Any]) -> Actor | None:
    """Return whose session this is *now*: read again from the database, for it may have ended since the handshake."""
    found: Actor | None = await database_sync_to_async(_find_actor)(scope)
    return found


async def read_watches(actor: Actor, hub: str, keys: Iterable[Any]) -> dict[str, Watch]:
    """Return name → watch for the keys that this actor may watch; `BadWatch` for one that we have not signed."""
    found: dict[str, Watch] = await database_sync_to_async(_read_watches)(actor, hub, keys)
    return found


async def read_tags(actor: Actor, hub: str, watches: Iterable[Watch]) -> dict[str, str]:
    """Return name → tag. Sockets of a process share an answer for a second."""
    found: dict[str, str] = await database_sync_to_async(_read_tags)(actor, hub, watches)
    return found


class BadWatch(Exception):
    """A browser of ours does not send this."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A region that a socket shows, and the instances whose changes touch it."""

    region: Region
    ids: frozenset[str]


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


def _read_watches(actor: Actor, hub: str, keys: Iterable[Any]) -> dict[str, Watch]:
    source, found = Source(hub), {}
    for key in keys:
        region = read_key(key)
        if region is None or region.hub != hub:
            raise BadWatch
        if fragments.tag(region, actor, source) is not None:
            found[region.name] = Watch(region, fragments.watched_ids(region, source))
    return found


def _read_tags(actor: Actor, hub: str, watches: Iterable[Watch]) -> dict[str, str]:
    source, found = Source(hub), {}
    for watch in watches:
        tag = _shared_tag(watch.region, actor, source)
        if tag is not None:
            found[watch.region.name] = tag
    return found


def _shared_tag(region: Region, actor: Actor, source: Source) -> str | None:
    key, now = (region, actor.roles), time.monotonic()
    held = _shared.get(key)
    if held and now - held[0] < SHARED_SECONDS:
        return held[1]
    tag = fragments.tag(region, actor, source)
    if len(_shared) > SHARED_LIMIT:
        _shared.clear()
    _shared[key] = now, tag
    return tag


def forget() -> None:
    """Forget the shared tags."""
    _shared.clear()
