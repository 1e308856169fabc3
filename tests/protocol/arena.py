"""Where simulations run: threads, connections and taps, which are dear, are kept from one run to the next."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from orchestrations.store import hubs
from tests.protocol.bus import nobody_watching
from tests.protocol.processes import Actor
from tests.protocol.programs import EVERYTHING
from tests.protocol.simulation import Simulation
from tests.protocol.world import Violation, World
from tests.taps import Execute, tapped, unflushed, ungated

ACTORS = 5


class Arena:
    """Runs one simulation after the other in this process's database, which is SQLite and must hold nothing dear."""

    def __init__(self) -> None:
        self._world: World | None = None
        self.story: list[str] = []
        self.counts: Counter[str] = Counter()
        self.actors = [Actor(lambda: tapped(self.on_statement, self.on_commit)) for _ in range(ACTORS)]

    def run(self, seed: int, kinds: Sequence[str] = EVERYTHING) -> Simulation:
        """Run a seed to its end and return it; raises `Violation`."""
        simulation = Simulation(seed, self.actors, tuple(kinds))
        self._world, self.story, self.counts = simulation.world, simulation.world.story, simulation.world.counts
        try:
            simulation.run()
        finally:
            self._world = None
        return simulation

    def find_violation(self, seed: int, kinds: Sequence[str] = EVERYTHING) -> str:
        """Return what a seed's run violates and the story of how it came to that, or an empty text."""
        try:
            self.run(seed, kinds)
        except Violation as violation:
            return f"seed {seed}: {violation}"
        return ""

    def close(self) -> None:
        """End the threads."""
        for actor in self.actors:
            actor.close()

    def on_statement(self, execute: Execute, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        """Pass a statement to the world that is now."""
        if self._world is None:
            return execute(sql, parameters, many, context)
        return self._world.on_statement(execute, sql, parameters, many, context)

    def on_commit(self, real: Callable[[], None]) -> None:
        """Pass a COMMIT to the world that is now."""
        return real() if self._world is None else self._world.on_commit(real)


class StoryHandler(logging.Handler):
    """Adds what the runtime logs to the story."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self._arena = arena

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record down."""
        said = record.getMessage()
        self._arena.story.append(f"         log: {said}")
        if said.startswith(("turn.dropped", "result.refused")):
            self._arena.counts["fenced"] += 1


@contextmanager
def opened() -> Iterator[Arena]:
    """Open an arena. Nothing in it needs to outlive a power cut, and no page watches."""
    logger = logging.getLogger("orchestrations")
    hubs.forget()
    with unflushed(), ungated(), nobody_watching():
        arena = Arena()
        handler = StoryHandler(arena)
        logger.addHandler(handler)
        logger.propagate = False
        try:
            with tapped(arena.on_statement, arena.on_commit):
                yield arena
        finally:
            logger.propagate = True
            logger.removeHandler(handler)
            arena.close()
            hubs.forget()
