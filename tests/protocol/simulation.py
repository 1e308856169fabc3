"""The deterministic simulation: the real store, the real bursts, wakes and sweepers, under one `Random(seed)`.

For some dozens of steps chance decides who goes on and what fails; then faults stop, and all must come to its end.
`python -m tests.protocol` runs seeds, and tells the story of one that violates something.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from unittest import mock

from django.db import DatabaseError

from orchestrations.errors import DurableError
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.store import clock, hubs, leases
from tests.protocol import checks, programs, records
from tests.protocol.clients import Client, refused
from tests.protocol.processes import Actor, Killed, Process
from tests.protocol.programs import EVERYTHING, Stage
from tests.protocol.workers import WorkerPlace
from tests.protocol.world import Violation, World

STEPS = (30, 160)
QUIET_ROUNDS = 400
IDLE_SECONDS = 2.5
JUMP_SECONDS = 12.0


class Simulation:
    """One run."""

    def __init__(self, seed: int, actors: list[Actor], kinds: tuple[str, ...] = EVERYTHING) -> None:
        self.seed, self.kinds = seed, kinds
        self.world = World(seed)
        self.random = self.world.random
        self._actors = actors

    def run(self) -> None:
        """Run to the end; raises `Violation`."""
        records.clear()
        self.stage = Stage(self.random, lambda: self._queue_at_work)
        self.stage.is_deployed_badly = "bad" in self.kinds
        programs.set_stage(self.stage)
        with self.world.entered(), mock.patch.object(uuid, "uuid4", self.world.new_uuid):
            self._people()
            try:
                self._run()
            finally:
                self._bury()

    @property
    def _queue_at_work(self) -> str:
        return next((place.queue for place in self.places if place.process is self.world.process), "")

    def _people(self) -> None:
        share = 0.1 if "hubs" in self.kinds else 0.0
        names = ["other" if self.random.random() < share else "main" for _ in range(3)]
        self.clients = [
            Client(self.world, hub, i, self.kinds) for i, hub in enumerate(names[: self.random.randint(1, 3)])
        ]
        for client in self.clients:
            hubs.ensure(client.hub)
        queues = ["main.default", "main.default", "main.slow", "other.default", "other.slow"]
        self.places = [
            WorkerPlace(self.world, actor, i, queue)
            for i, (actor, queue) in enumerate(zip(self._actors, queues, strict=True))
        ]
        self.sweepers = [Sweeper(), Sweeper()]

    def _run(self) -> None:
        for _ in range(self.random.randint(*STEPS)):
            if self._is_done():
                break
            self._step()
        self._calm_down()
        for _ in range(QUIET_ROUNDS):
            if self._is_done():
                break
            self._quiet_round()
        else:
            raise Violation(f"I1: still at work: {records.statuses()}")
        checks.check_end(self.world, self.stage, self.clients)

    def _is_done(self) -> bool:
        if any(client.deeds for client in self.clients) or any(place.actor.is_busy for place in self.places):
            return False
        return self.world.is_done

    # --- what chance does

    def _step(self) -> None:
        self.world.counts["steps"] += 1
        self.world.clock.sleep(self.random.choice((0.0, 0.001, 0.03)))
        dice = self.random.random() * _TOTAL
        for weight, choice in _CHOICES:
            dice -= weight
            if dice < 0:
                choice(self)
                break
        self._check_step()

    def _check_step(self) -> None:
        for place in self.places:
            if place.failure:
                raise Violation(place.failure)
        if self.stage.problems:
            raise Violation(self.stage.problems[0])

    def _take_hint(self) -> None:
        """Let an idle worker take a hint; it may be any, and may come again."""
        ready = [p for p in self.places if not p.actor.is_busy and self.world.bus.hints.get(p.queue)]
        if not ready or self.world.bus.is_down:
            return self._idle()
        place = self.random.choice(ready)
        hints = self.world.bus.hints[place.queue]
        token = self.random.choice(hints)
        if not self.world.happens("hint", 0.1):
            hints.remove(token)
        if self.world.happens("hint", 0.03):
            return self.world.tell(f"a hint to {place.queue} is lost")
        self.world.tell(f"{place.owner} takes a hint of {place.queue}")
        return place.take(token)

    def _advance(self) -> None:
        """Let a worker go on, or kill it where it rests."""
        busy = [place for place in self.places if place.actor.is_busy]
        if not busy:
            return self._take_hint()
        place = self.random.choice(busy)
        if self.world.happens("zombie", 0.2 if "zombies" in self.kinds else 0.03):
            return self._take_from(place)
        if self.world.happens("death", 0.01):
            self.world.kill(place.process, "rest")
        elif self.world.happens("death", 0.01):
            self.world.tell(f"{place.owner} is asked to stop")
            place.is_stopping = True
        return place.go_on()

    def _serve_client(self) -> None:
        waiting = [client for client in self.clients if client.deeds]
        if not waiting:
            return self._advance()
        client = self.random.choice(waiting)
        name, deed = client.deeds[0]
        self.world.tell(f"client of {client.instance_id}: {name}")
        if self._act("client", deed):
            client.did(name)
        elif self.world.is_calm or self.last_refused:
            client.skip()
        return None

    def _idle(self) -> None:
        """Nobody has anything to do: a client comes, or a sweeper looks a moment later."""
        if any(client.deeds for client in self.clients) and self.random.random() < 0.5:
            return self._serve_client()
        self.world.clock.sleep(self.random.uniform(0.1, 4.0))
        return self._supervise() if self.random.random() < 0.3 else self._sweep()

    def _let_time_pass(self) -> None:
        self.world.clock.sleep(self.random.uniform(0.01, 0.6))

    def _sweep(self) -> None:
        sweeper = self.random.choice(self.sweepers)
        sweeper.listen(0.0)
        self._act("supervisor", sweeper.fire if self.random.random() < 0.5 else sweeper.sweep)

    def _supervise(self) -> None:
        """Free what the dead held, renew, or take from the living."""
        place = self.random.choice([p for p in self.places if p.lost] or self.places)
        dice = self.random.random()
        if place.lost:
            loss = place.lost.pop()
            self._act("supervisor", lambda: leases.lose(loss.owner, *loss.blamed, clock.now()))
        elif dice < 0.5:
            owners = [p.owner for p in self.places]
            self._act("supervisor", lambda: leases.renew(owners, [], clock.now(), 10.0))
        elif place.actor.is_busy and not self.world.is_calm:
            self._take_from(place)

    def _take_from(self, place: WorkerPlace) -> None:
        """Make a zombie: take what a worker holds, for its activity is long, it seems dead, or time passes."""
        self.world.counts["lapses"] += 1
        dice = self.random.random()
        if place.activity and dice < 0.5:
            self.world.tell(f"all that {place.owner} holds is handed back, but its activity and results")
            self._act("supervisor", lambda: leases.take_back(place.owner, lambda: place.in_hand))
        elif dice < 0.8:
            self.world.tell(f"{place.owner} is taken for dead")
            self._act("supervisor", lambda: leases.lose(place.owner, None, None, clock.now()))
        else:
            self.world.clock.sleep(JUMP_SECONDS)
            self.world.tell("a long time passes: all leases run out")

    def _break_something(self) -> None:
        bus, dice = self.world.bus, self.random.random()
        if dice < 0.25:
            self.world.tell("Redis forgets all")
            bus.flush()
        elif dice < 0.5:
            self.world.tell("wake keys stick")
            bus.stick(5.0)
        elif dice < 0.75:
            bus.is_down = not bus.is_down
            self.world.tell(f"Redis is {'away' if bus.is_down else 'back'}")
        else:
            self.stage.is_deployed_badly = not self.stage.is_deployed_badly
            self.world.tell(f"the code is {'bad' if self.stage.is_deployed_badly else 'good'}")

    def _act(self, name: str, deed: Callable[[], object]) -> bool:
        """Let a process that is no worker act; tell whether what it did took effect."""
        process = Process(name)
        self.last_refused = False
        self.world.acts(process)
        try:
            deed()
        except Killed:
            pass
        except DurableError as error:
            self.last_refused = True
            if not refused(error):
                raise Violation(f"a client was refused: {error.code}: {error.message}") from error
        except DatabaseError:
            if not process.suffered:
                raise
        finally:
            self.world.acts(None)
        return process.commits > 0

    # --- peace

    def _calm_down(self) -> None:
        self.world.tell("faults stop")
        self.world.is_calm, self.world.bus.is_down = True, False
        self.stage.is_deployed_badly = False

    def _quiet_round(self) -> None:
        """Let everybody finish, then whoever has a hint; if there is none, time passes and supervisors act."""
        for place in self.places:
            while place.actor.is_busy:
                place.go_on()
        self._check_step()
        while any(client.deeds for client in self.clients):
            self._serve_client()
        ready = [p for p in self.places if self.world.bus.hints.get(p.queue)]
        if ready:
            return ready[0].take(self.world.bus.hints[ready[0].queue].pop())
        self.world.clock.sleep(IDLE_SECONDS)
        # what a living worker holds does not run out: if it has forgotten something, nobody will ever do that
        leases.renew([place.owner for place in self.places], [], clock.now(), 10.0)
        return self._sweep()

    def _bury(self) -> None:
        """Let the threads end what they are at, whatever it is."""
        for place in self.places:
            place.process.is_dead = True
            while place.actor.is_busy:
                self.world.acts(place.process, place.actor)
                place.actor.resume()
        self.world.acts(None)


_CHOICES: list[tuple[float, Callable[[Simulation], None]]] = [
    (0.58, Simulation._advance),
    (0.13, Simulation._take_hint),
    (0.14, Simulation._serve_client),
    (0.05, Simulation._let_time_pass),
    (0.05, Simulation._sweep),
    (0.05, Simulation._supervise),
    (0.02, Simulation._break_something),
]
_TOTAL = sum(weight for weight, _ in _CHOICES)
