"""Bounded cache of suspended bodies. It is an accelerator: a body that is not here is made again by replay.

A body is kept as of its last commit, under execution and lease epoch. Whoever writes to a history raises the epoch:
another holder by his claim, a rewind by itself. So a body that has fallen behind is never used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from orchestrations.engine.turn import Turn
from orchestrations.store.claimed import ClaimedInstance

Key = tuple[str, int]


class LiveBodies:
    """Most recently used last; the oldest goes first."""

    def __init__(self, size: int, close: Callable[[Turn], None] = Turn.close) -> None:
        self._size, self._close = size, close
        self._bodies: OrderedDict[int, tuple[Key, Turn]] = OrderedDict()

    def take(self, held: ClaimedInstance) -> Turn | None:
        """Return the body if it is exactly at this point; it leaves the cache, and is closed if it is not."""
        key, turn = self._bodies.pop(held.row.instance_id, (None, None))
        if turn is None:
            return None
        if key == (held.row.execution, held.row.lease_epoch - 1):
            return turn
        self._close(turn)
        return None

    def put(self, held: ClaimedInstance, turn: Turn) -> None:
        """Keep the body as of a commit that is known to be good."""
        if not self._size:
            return self._close(turn)
        self._bodies[held.row.instance_id] = ((held.row.execution, held.row.lease_epoch), turn)
        while len(self._bodies) > self._size:
            _, (_, oldest) = self._bodies.popitem(last=False)
            self._close(oldest)
        return None

    def clear(self) -> None:
        """Close all bodies."""
        while self._bodies:
            _, (_, turn) = self._bodies.popitem()
            self._close(turn)
