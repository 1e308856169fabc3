"""Redis as the runtime uses it, in memory: keys that lapse, hints in queues, news to the supervisors.

It stands at the lowest seam, `runtime.hints` and `runtime.queues`, so that wakes and sweepers are the real ones. All of
it may be lost, doubled, late or away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from redis.exceptions import ConnectionError as RedisConnectionError

from orchestrations.live import broadcast
from orchestrations.runtime import hints, queues
from orchestrations.store import signals

ATTENDED = timedelta(seconds=0.5)
"""For how long an attendance lasts: longer than in Redis, as the steps of simulated time are."""


class Subscription:
    """What one supervisor hears."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.heard: deque[bytes] = deque()

    def subscribe(self, channel: str) -> None:
        """Begin to hear."""
        self._bus.check()
        self._bus.subscriptions.append(self)

    def get_message(self, timeout: float) -> dict[str, Any] | None:
        """Return the next message, or None at once."""
        self._bus.check()
        return {"type": "message", "data": self.heard.popleft()} if self.heard else None

    def close(self) -> None:
        """Hear no more."""


class Bus:
    """One Redis. It takes the part of the connection, whose commands it knows as far as the runtime sends them."""

    def __init__(self, now: Callable[[], datetime], listeners: int) -> None:
        self._now, self._listeners = now, listeners
        self._keys: dict[str, datetime] = {}
        self._attended: dict[str, tuple[str, datetime]] = {}
        self._bells: set[str] = set()
        self.hints: dict[str, list[int]] = {}
        self.subscriptions: list[Subscription] = []
        self.is_down = False

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Let the runtime talk to this one until the block ends."""
        with (
            mock.patch.multiple(
                queues,
                connection=lambda: self,
                subscription=lambda: Subscription(self),
                count_hints=self._count_hints,
                heal=self._heal,
                count_listeners=lambda queue: self._listeners,
            ),
            mock.patch.multiple(
                hints, offer=self._offer, accept=self._accept, stay=self._stay, leave=self._leave, take=self._take
            ),
        ):
            yield

    def check(self) -> None:
        """Raise what Redis' client raises while Redis is away."""
        if self.is_down:
            raise RedisConnectionError("Redis is away.")

    # --- commands

    def publish(self, channel: str, text: str) -> None:
        """PUBLISH to every subscription."""
        self.check()
        for subscription in self.subscriptions:
            subscription.heard.append(text.encode())

    def _offer(self, queue: str, tokens: Sequence[int], milliseconds: int) -> bool:
        self.check()
        is_attended = self._attendant(queue) is not None
        if not is_attended and queue in self._bells:
            self._bells.remove(queue)
            self.hints.setdefault(queue, []).append(0)
        for token in tokens:
            key = hints.token_key(queue, token)
            if key not in self._keys or self._now() >= self._keys[key]:
                self._keys[key] = self._now() + timedelta(milliseconds=milliseconds)
                if token == 0 and is_attended:
                    self._bells.add(queue)
                else:
                    self.hints.setdefault(queue, []).append(token)
        return is_attended

    def _accept(self, queue: str, token: int, owner: str) -> bool:
        self.check()
        self._keys.pop(hints.token_key(queue, token), None)
        if token or self._attendant(queue) not in (None, owner):
            return False
        self._bells.discard(queue)
        if self._attendant(queue) is None:
            self.publish(hints.CHANNEL, f"{queue} {hints.ATTENDED}")
        self._attend(queue, owner)
        return True

    def _stay(self, queue: str, owner: str) -> bool:
        self.check()
        is_on = self._attendant(queue) == owner
        if is_on:
            self._attend(queue, owner)
        return is_on

    def _take(self, queue: str, seconds: float | None, *, attends: bool = False) -> bytes | None:
        """Take what rings for the attendant; jobs for all are the scheduler's to give."""
        self.check()
        if not attends or queue not in self._bells:
            return None
        self._bells.remove(queue)
        return b"rung"

    def _leave(self, queue: str, owner: str) -> None:
        self.check()
        if self._attendant(queue) == owner:
            del self._attended[queue]
        self._offer(queue, (), 0)

    def _attend(self, queue: str, owner: str) -> None:
        self._attended[queue] = owner, self._now() + ATTENDED

    def _attendant(self, queue: str) -> str | None:
        owner, until = self._attended.get(queue, (None, self._now()))
        return owner if self._now() < until else None

    def _count_hints(self, queue: str) -> int:
        self.check()
        return len(self.hints.get(queue, ()))

    def _heal(self, queue: str) -> list[str]:
        self.check()
        return []  # nobody has damaged anything here

    # --- what can go wrong

    def flush(self) -> None:
        """FLUSHALL: everything is gone."""
        self._keys.clear()
        self._attended.clear()
        self._bells.clear()
        self.hints.clear()
        for subscription in self.subscriptions:
            subscription.heard.clear()

    def stick(self, seconds: float) -> None:
        """Let each key that is there live long, as if its hint had been lost and its clock were slow."""
        for key in self._keys:
            self._keys[key] = self._now() + timedelta(seconds=seconds)


@contextmanager
def nobody_watching() -> Iterator[None]:
    """Tell no page of anything until the block ends."""
    signals.instance_changed.disconnect(dispatch_uid="durable.broadcast")
    signals.burst_ended.disconnect(dispatch_uid="durable.flush")
    try:
        yield
    finally:
        signals.instance_changed.connect(broadcast.on_instance_changed, dispatch_uid="durable.broadcast")
        signals.burst_ended.connect(broadcast.on_burst_ended, dispatch_uid="durable.flush")
