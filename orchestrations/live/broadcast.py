"""instance_changed → one group message per hub, at least 100 ms after the last one.

It runs in web servers, workers and commands, beside code that must not wait. So a change only enters a set, under a
lock that is held for a few instructions; one daemon thread with an event loop of its own sends. The rival,
`async_to_sync` per change, opens a loop each time and lets Redis' delay reach the worker.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from functools import partial
from typing import Any

from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import m2m_changed
from django.dispatch import receiver

from orchestrations.live.groups import hub_group, user_group

logger = logging.getLogger("orchestrations.live")

INTERVAL_SECONDS = 0.1
SEND_SECONDS = 5.0
FAREWELL_SECONDS = 0.5
ID_LIMIT = 200

Message = dict[str, Any]


class Broadcaster:
    """What has changed since the last flush. A hub with more than 200 changes is just "many": memory stays bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: dict[str, dict[str, int] | None] = {}
        self._direct: list[tuple[str, Message]] = []
        self._idle = threading.Event()
        self._idle.set()
        self._is_due = False
        self._is_away = False
        self._thread: threading.Thread | None = None
        self._bell: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def note(self, hub: str, instance_id: str, revision: int) -> None:
        """Remember a change, and see to it that it is sent soon. Never blocks, never raises."""
        with self._lock:
            ids = self._changed.setdefault(hub, {})
            if ids is not None:
                ids[instance_id] = revision
                if len(ids) > ID_LIMIT:
                    self._changed[hub] = None
        self.wake()

    def tell(self, group: str, message: Message) -> None:
        """Send something else to a group, by the same way."""
        with self._lock:
            self._direct.append((group, message))
        self.wake()

    def wake(self) -> None:
        """Make the thread send what there is, starting it if this process has none."""
        if self._is_due:
            return
        with self._lock:
            self._is_due = True
            self._idle.clear()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="durable-broadcast", daemon=True)
                self._thread.start()
            elif self._bell is not None:
                loop, bell = self._bell
                loop.call_soon_threadsafe(bell.set)

    def take(self) -> list[tuple[str, Message]]:
        """Return the messages that are due, one per hub, and forget the changes in them."""
        with self._lock:
            changed, self._changed = self._changed, {}
            direct, self._direct = self._direct, []
        hints = [(hub_group(hub), _hint(ids)) for hub, ids in changed.items()]
        return hints + direct

    async def send(self) -> None:
        """Send what is due. A layer that is away costs the hints and one line in the log; beats heal the pages."""
        layer = get_channel_layer()
        for group, message in self.take():
            if layer is None:
                return
            try:
                await asyncio.wait_for(layer.group_send(group, message), SEND_SECONDS)
            except Exception as error:  # an on-commit receiver's work: what was committed must not become an error
                if not self._is_away:
                    logger.warning("the channel layer is away, pages fall back to their beat: %r", error)
                self._is_away = True
                return
            self._is_away = False

    def finish(self, seconds: float = FAREWELL_SECONDS) -> None:
        """Wait a moment until all has been sent: the process is about to end."""
        if self._thread is not None and not self._idle.wait(seconds):
            logger.debug("ended with hints unsent")

    def forget(self) -> None:
        """Begin anew, in a forked child, which has no thread and maybe a held lock."""
        self.__init__()  # type: ignore[misc]

    def _run(self) -> None:
        asyncio.run(self._loop())

    async def _loop(self) -> None:
        bell = asyncio.Event()
        self._bell = asyncio.get_running_loop(), bell
        while True:
            if not self._is_due:  # set before the bell is rung, so a change between these lines rings it
                await bell.wait()
                bell.clear()
                continue
            self._is_due = False
            await self.send()
            if not self._is_due:
                self._idle.set()
            await asyncio.sleep(INTERVAL_SECONDS)


def _hint(ids: dict[str, int] | None) -> Message:
    return (
        {"type": "hint", "many": True} if ids is None else {"type": "hint", "ids": [list(pair) for pair in ids.items()]}
    )


broadcaster = Broadcaster()
atexit.register(broadcaster.finish)
os.register_at_fork(after_in_child=broadcaster.forget)


def on_instance_changed(sender: Any, *, hub: str, instance_id: str, revision: int, **_: Any) -> None:
    """Receive the store's signal, after COMMIT."""
    broadcaster.note(hub, instance_id, revision)


def on_burst_ended(sender: Any, **_: Any) -> None:
    """Receive the runtime's signal."""
    flush()


def flush() -> None:
    """See to it that what has changed is sent, without waiting for it."""
    broadcaster.wake()


@receiver(user_logged_out, dispatch_uid="durable.signed-out")
def on_signed_out(sender: Any, *, user: Any, **_: Any) -> None:
    """Have the user's sockets, in whichever process they are, look at their session again: one has ended."""
    if user is not None:
        broadcaster.tell(user_group(user.pk), {"type": "check"})


@receiver(m2m_changed, dispatch_uid="durable.roles-changed")
def on_roles_changed(sender: Any, *, instance: Any, action: str, **_: Any) -> None:
    """Have the sockets of somebody whose groups have changed look at their roles again."""
    if action.startswith("post_") and isinstance(instance, User) and sender is User.groups.through:
        tell = partial(broadcaster.tell, user_group(instance.pk), {"type": "check"})
        transaction.on_commit(tell, robust=True)
