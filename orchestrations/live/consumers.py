"""One socket of one page. It joins, learns what the page shows, says what is dirty, and beats. It renders nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections import deque
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from orchestrations.control.actors import Actor
from orchestrations.live.groups import hub_group, user_group
from orchestrations.live.tags import UnknownRegionError, WatchedRegion, find_actor, may_look, read_regions
from orchestrations.web.fragments import EVERY

logger = logging.getLogger("orchestrations.live")

SESSION_ENDED, ACCESS_REMOVED, TOO_MANY_TABS = 4401, 4403, 4429
POLICY, TOO_LARGE, ERROR, OVERLOADED = 1008, 1009, 1011, 1013


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Speaks to `static/js/live.js`: `watch` comes in; `hello`, `dirty` and `beat` go out.

    Messages of the group only touch sets: they may arrive by the thousand.
    """

    dirty_seconds = 0.25
    beat_seconds = 10.0
    check_seconds = 60.0
    grace_seconds = 0.5
    slow_seconds = 20.0
    frame_limit = 16 * 1024
    region_limit = 12
    message_rate = 10
    sockets_per_user = 12

    sockets: dict[int | None, deque[LiveConsumer]] = {}

    actor: Actor
    hub: str

    async def connect(self) -> None:
        """Join first, look second: what changes in between is heard."""
        self.regions: dict[str, WatchedRegion] = {}
        self.dirty: set[str] = set()
        self.bell = asyncio.Event()
        self.heard: deque[float] = deque(maxlen=self.message_rate)
        self.task: asyncio.Task[None] | None = None
        self.next_check = time.monotonic() + self.check_seconds
        self.hub = self.scope["url_route"]["kwargs"]["hub"]
        actor = await find_actor(self.scope)
        if actor is None or not await may_look(actor, self.hub):
            await self.close()  # before accept: the handshake answers 403
            return
        self.actor = actor
        for name in self._groups():
            await self.channel_layer.group_add(name, self.channel_name)
        await self.accept()
        await self._make_room()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._close_if_failed)

    async def disconnect(self, code: int) -> None:
        """Leave; the layer may be gone already."""
        if self.task is None:
            return
        self.task.cancel()
        mine = self.sockets.get(self.actor.user_id, deque())
        with contextlib.suppress(ValueError):
            mine.remove(self)
        if not mine:
            self.sockets.pop(self.actor.user_id, None)
        for name in self._groups():
            with contextlib.suppress(OSError):
                await self.channel_layer.group_discard(name, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take the one message there is; everything else ends the socket."""
        if bytes_data is not None or text_data is None:
            return await self._refuse(POLICY, "text only")
        if len(text_data.encode()) > self.frame_limit:
            return await self._refuse(TOO_LARGE, "too large")
        if self._is_too_fast():
            return await self._refuse(POLICY, "too many messages")
        try:
            await self._watch(json.loads(text_data))
        except (ValueError, RecursionError, UnknownRegionError):
            await self._refuse(POLICY, "not understood")

    async def hint(self, event: dict[str, Any]) -> None:
        """Instances have changed. Set arithmetic only: no query, no rendering, no await."""
        ids = {pair[0] for pair in event.get("ids", ())}
        for name, watched in self.regions.items():
            if watched.ids is EVERY or event.get("many") or not ids.isdisjoint(watched.ids):
                self.dirty.add(name)
        if self.dirty:
            self.bell.set()

    async def check(self, event: dict[str, Any]) -> None:
        """The user has signed out or has other roles: look soon. (The signal comes before the session ends.)"""
        self.next_check = min(self.next_check, time.monotonic() + self.grace_seconds)
        self.bell.set()

    async def _watch(self, message: Any) -> None:
        keys = message.get("keys") if isinstance(message, dict) and message.get("t") == "watch" else None
        if not isinstance(keys, list) or len(keys) > self.region_limit:
            raise UnknownRegionError
        self.regions = await read_regions(self.actor, self.hub, keys)
        await self._say({"t": "hello", "tags": self._tags()})

    async def _run(self) -> None:
        next_beat = time.monotonic() + self._beat_pause()
        while True:
            rest = min(next_beat, self.next_check) - time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.bell.wait(), max(rest, 0.001))
            self.bell.clear()
            if time.monotonic() >= self.next_check:
                self.next_check = time.monotonic() + self.check_seconds
                if not await self._is_still_welcome():
                    return
            if self.dirty:
                names, self.dirty = self.dirty, set()
                await self._say({"t": "dirty", "regions": sorted(names)})
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + self._beat_pause()
                await self._beat()
            await asyncio.sleep(self.dirty_seconds)

    async def _beat(self) -> None:
        """Prove that nothing was missed: who has another tag asks. What regions depend on is read again as well."""
        keys = [watched.region.key for watched in self.regions.values()]
        self.regions = await read_regions(self.actor, self.hub, keys)
        await self._say({"t": "beat", "tags": self._tags()})

    async def _is_still_welcome(self) -> bool:
        """Session, user and permissions again: authorisation at connect is not enough."""
        actor = await find_actor(self.scope)
        if actor is None:
            await self.close(code=SESSION_ENDED)
        elif not await may_look(actor, self.hub):
            await self.close(code=ACCESS_REMOVED)
        else:
            self.actor = actor
            for name in self._groups():  # a membership ends after a day unless it is renewed
                await self.channel_layer.group_add(name, self.channel_name)
            return True
        return False

    async def _make_room(self) -> None:
        """Close the user's oldest socket here when there are too many; its page polls until it is looked at."""
        mine = self.sockets.setdefault(self.actor.user_id, deque())
        mine.append(self)
        if len(mine) > self.sockets_per_user:
            await mine.popleft().close(code=TOO_MANY_TABS)

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            await asyncio.wait_for(self.send(text_data=json.dumps(message)), self.slow_seconds)
        except TimeoutError:
            await self.close(code=OVERLOADED)
        except OSError:
            return  # the tab was closed in this moment; the end of the connection is on its way to us

    async def _refuse(self, code: int, why: str) -> None:
        await self._say({"t": "error", "why": why})
        await self.close(code=code)

    def _tags(self) -> dict[str, str]:
        return {name: watched.tag for name, watched in self.regions.items()}

    def _is_too_fast(self) -> bool:
        now = time.monotonic()
        too_fast = len(self.heard) == self.message_rate and now - self.heard[0] < 1.0
        self.heard.append(now)
        return too_fast

    def _groups(self) -> tuple[str, ...]:
        own = (user_group(self.actor.user_id),) if self.actor.user_id is not None else ()
        return hub_group(self.hub), *own

    def _beat_pause(self) -> float:
        return self.beat_seconds * random.uniform(0.9, 1.1)

    def _close_if_failed(self, task: asyncio.Task[None]) -> None:
        """A dead task must not leave a silent socket open: the page would believe it."""
        if task.cancelled() or task.exception() is None:
            return
        logger.error("a live socket failed", exc_info=task.exception())
        self.last_act = asyncio.ensure_future(self.close(code=ERROR))
