"""What clients do to one instance: start it, raise its events in order, steer it. Each may die on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from orchestrations.client.client import DurableClient
from orchestrations.errors import DurableError
from tests.protocol.programs import PROGRAM, SHARED, count_events, make_program
from tests.protocol.world import World

Deed = tuple[str, Callable[[], Any]]


class Client:
    """One instance's client: its deeds, done one after the other, and what was accepted of them."""

    def __init__(self, world: World, hub: str, place: int, kinds: tuple[str, ...]) -> None:
        self.hub, self.instance_id = hub, f"o{place}"
        self.accepted: list[int] = []
        self.is_started = False
        self._client = DurableClient(hub)
        self.program = make_program(world.random, kinds, place)
        self.deeds: deque[Deed] = deque([("start", self._start)])
        self._add_events(world)
        self._add_control(world, 0.35 if "steering" in kinds else 1.0, can_replace="replacing" in kinds)

    def did(self, name: str) -> None:
        """Note that the first deed has taken effect, and go on to the next."""
        if name == "start":
            self.is_started = True
        elif name.startswith("raise "):
            self.accepted.append(int(name.removeprefix("raise ")))
        self.deeds.popleft()

    def skip(self) -> None:
        """Give the first deed up: it was refused."""
        self.deeds.popleft()

    # --- deeds

    def _add_events(self, world: World) -> None:
        wanted = count_events(self.program)
        for number in range(wanted + world.random.randint(0, 1) if wanted else 0):
            self.deeds.append((f"raise {number}", partial(self._raise, number)))
            while world.random.random() < 0.2:  # sent again, as if the answer had been lost
                self.deeds.append(("repeat", partial(self._raise, number)))

    def _add_control(self, world: World, most: float, *, can_replace: bool) -> None:
        dice = world.random.random() * most
        if dice < 0.15:
            self._insert(world, ("terminate", lambda: self._client.terminate(self.instance_id, "enough")))
        elif dice < 0.35:
            self._insert(world, ("suspend", lambda: self._client.suspend(self.instance_id, "why")))
            self.deeds.append(("resume", lambda: self._client.resume(self.instance_id, "therefore")))
        elif dice < 0.45 and can_replace:
            shared = world.random.choice(SHARED)
            self._insert(world, (f"replace {shared}", lambda: self._replace(shared)))

    def _insert(self, world: World, deed: Deed) -> None:
        self.deeds.insert(world.random.randint(1, len(self.deeds)), deed)

    def _start(self) -> None:
        self._client.start_new(PROGRAM, self.instance_id, self.program)

    def _raise(self, number: int) -> None:
        self._client.raise_event(self.instance_id, "go", number, event_id=f"event-{number}")

    def _replace(self, shared: str) -> None:
        program = {"blocks": [["activity", 7]], "again": None, "out": []}
        self._client.start_new(PROGRAM, shared, program, if_exists="replace_any")


def refused(error: Exception) -> bool:
    """Tell whether a client was rightly refused: the instance has ended, or is not there."""
    return isinstance(error, DurableError) and error.code in ("instance.terminal", "instance.unknown")
