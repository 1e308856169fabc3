"""A worker process of the simulation: bursts over the tables with the real engine, able to stop anywhere.

What it yields are the labels at which a process may be killed, put to sleep or overtaken.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from orchestrations.engine import payloads
from orchestrations.engine.events import EventRaised, TaskCompleted, TaskFailed
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.intake import Intake, take
from orchestrations.engine.mailbox import Mailbox
from orchestrations.engine.plan import TurnPlan, make_plan, plan_termination
from orchestrations.engine.results import TurnResult
from orchestrations.engine.turn import Turn
from orchestrations.errors import DurableError
from tests.protocol.mutants import Mutant
from tests.protocol.programs import walk
from tests.protocol.queue import Queue
from tests.protocol.rows import Answer, Commit, Delivery, Lease, Letter, Result
from tests.protocol.tables import Tables

Labels = Generator[str, None, None]
CLOCK_SKEW = timedelta(seconds=2)
"""How far the clock of a worker is ahead that goes by its own."""


class OneEventMailbox(Mailbox):
    """The mutant that remembers one event of a name only."""

    def put(self, event: EventRaised) -> None:
        """Forget the event that is kept, if there is one."""
        self._raised.pop(event.name.casefold(), None)
        super().put(event)


@dataclass(slots=True)
class Held:
    """An instance in a burst's hands."""

    lease: Lease
    turn: Turn | None = None
    letters: list[Letter] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


class World:
    """What all workers share: tables, queue, chance, and a count of what activities did to the world outside."""

    def __init__(self, random: Random, mutants: frozenset[Mutant]) -> None:
        self.random, self.mutants = random, mutants
        self.tables, self.queue = Tables(mutants), Queue()
        self.effects: Counter[tuple[int, str, int, int]] = Counter()
        self.cache = random.choice((0, 1, 8))
        self.has_faults = True
        self.next_execution = 0

    def chance(self, probability: float) -> bool:
        """Tell whether a fault of that probability happens; none does once faults have stopped."""
        return self.has_faults and self.random.random() < probability

    def new_execution(self) -> str:
        """Return a fresh execution id."""
        self.next_execution += 1
        return f"x{self.next_execution}"

    def commit(self, label: str) -> Labels:
        """Be at `label`, the transaction before it done; then send what it announced: a key, a hint, a step between."""
        announced = self.tables.take_announced()
        yield label
        for at in announced:
            if at > self.tables.now:
                self.queue.plan(at)
            elif self.queue.set_key(self.tables.now):
                yield "key set"
                self.queue.enqueue()
                yield "hint sent"


class Worker:
    """One process. `owner` is fresh at every start, so that a dead one is never taken for it."""

    def __init__(self, world: World, owner: str) -> None:
        self.world, self.tables, self.owner = world, world.tables, owner
        self.bodies: OrderedDict[int, tuple[tuple[str, int, int], Turn]] = OrderedDict()
        self.held: dict[int, Held] = {}
        self.todo: deque[Delivery] = deque()
        self.elsewhere: list[Result] = []
        self.running: Delivery | None = None

    def run_job(self) -> Labels:
        """Delete the hint's key, then work until nothing is due or the slice is over."""
        yield "popped"
        self.world.queue.delete_key()
        yield "key deleted"
        for _ in range(self.world.random.randint(1, 6)):
            if not self.held and not self.todo:
                leases, deliveries, _ = self.tables.claim(self.owner, self.world.random.randint(1, 4))
                yield from self.world.commit("claimed")
                if not leases and not deliveries:
                    break
                yield from self._load(leases)
                self.todo.extend(deliveries)
            yield from self._round()
        yield from self._give_back()

    # --- loading

    def _load(self, leases: Sequence[Lease]) -> Labels:
        skew = CLOCK_SKEW if self.tables.has(Mutant.EARLY_TIMER) else timedelta()
        for lease in leases:
            letters = self._shuffle(self.tables.load(lease, skew))
            self.held[lease.instance] = Held(lease, self._take_body(lease), letters)
        yield "loaded"
        for held in self.held.values():
            if held.turn is None:
                held.turn = self._replay(held.lease)
        yield "replayed"

    def _shuffle(self, letters: list[Letter]) -> list[Letter]:
        """Numbers are given before COMMIT, so the order is any, but for what one client sent one after another."""
        if not self.world.chance(0.5):
            return letters
        places = list(range(len(letters)))
        self.world.random.shuffle(places)
        mixed = [letters[place] for place in places]
        ordered = iter([m for m in letters if _is_from_client(m)])
        return [next(ordered) if _is_from_client(m) else m for m in mixed]

    def _replay(self, lease: Lease) -> Turn:
        turn = Turn(walk)
        if self.tables.has(Mutant.ONE_EVENT):
            turn.execution.mailbox = OneEventMailbox()
        turn.replay(self.tables.instances[lease.instance].history)
        return turn

    def _take_body(self, lease: Lease) -> Turn | None:
        key, turn = self.bodies.pop(lease.instance, (None, None))
        wanted = (lease.execution, lease.length, lease.epoch - 1)
        if turn is None or key == wanted or self.tables.has(Mutant.STALE_BODY):
            return turn
        turn.close()
        return None

    def _put_body(self, held: Held) -> None:
        if held.turn is None:
            return
        key = (held.lease.execution, held.lease.length, held.lease.epoch)
        self.bodies[held.lease.instance] = (key, held.turn)
        while len(self.bodies) > self.world.cache:
            _, (_, oldest) = self.bodies.popitem(last=False)
            oldest.close()

    # --- a round

    def _round(self) -> Labels:
        ready = [held for held in self.held.values() if held.letters or held.results]
        awaited = {delivery.instance for delivery in self.todo}
        idle = [h for key, h in self.held.items() if h not in ready and key not in awaited]
        if idle:
            self.tables.release([held.lease for held in idle])
            for held in idle:
                del self.held[held.lease.instance]
                self._put_body(held)
            yield from self.world.commit("released")
        if ready:
            yield from self._turn(ready)
        yield from self._run_activities()
        yield from self._settle_elsewhere()

    def _turn(self, ready: Sequence[Held]) -> Labels:
        commits = [self._plan(held) for held in ready]
        yield "turned"
        answers = [Answer() for _ in commits]
        if self.tables.has(Mutant.EARLY_DISPATCH):
            for c, answer in zip(commits, answers, strict=True):
                self.tables.dispatch(c, answer)
            yield "dispatched"
        if self.tables.has(Mutant.SPLIT_COMMIT):
            answers = self.tables.commit_history(commits)
            yield "half committed"
            self.tables.commit_rest(commits, answers)
        else:
            answers = self.tables.commit(commits)
        if self.world.chance(0.08 if len(commits) == 1 else 0.3):
            self.tables.take_announced()
            yield "answer lost"
            first_only = self.tables.has(Mutant.FIRST_TELLS)
            if any(self.tables.is_stored(c) for c in commits[: 1 if first_only else None]):
                return (yield from self._let_go())
            if first_only:
                answers = self.tables.commit(commits)
        for held, c, answer in zip(ready, commits, answers, strict=True):
            self._follow(held, c, answer)
        yield from self.world.commit("committed")
        return None

    def _plan(self, held: Held) -> Commit:
        row = self.tables.instances[held.lease.instance]
        current = [m for m in held.letters if m.execution in ("", held.lease.execution)]
        outdated = [m.key for m in held.letters if m.execution not in ("", held.lease.execution)]
        events = [*(m.event for m in current), *(r.event for r in held.results)]
        intake = take(row.status, events)
        consumed = [*outdated, *(current[place].key for place in intake.taken if place < len(current))]
        taken = {place - len(current) for place in intake.taken if place >= len(current)}
        self.elsewhere += [r for place, r in enumerate(held.results) if place not in taken]
        used = [r for place, r in enumerate(held.results) if place in taken]
        try:
            plan = self._advance(held, intake) if intake.events else None
        except DurableError:
            if row.epoch == held.lease.epoch:
                raise
            plan = None  # overtaken: what was loaded does not fit together, and will be dropped
        share = self.world.random.randint(0, 3)
        keep = self.world.random.random() < 0.9
        return Commit(held.lease, plan, consumed, used, held.letters, keep, share if keep else 0)

    def _advance(self, held: Held, intake: Intake) -> TurnPlan:
        row = self.tables.instances[held.lease.instance]
        now = max(self.tables.now, row.turned_at or self.tables.now)
        if intake.termination is not None:
            self._drop_body(held)
            return plan_termination(row.facts, intake.termination, intake.events, now)
        if intake.needs_body or held.turn is not None:
            held.turn = held.turn or self._replay(held.lease)
            result = held.turn.advance(intake.events, now)
        else:
            result = TurnResult(now, intake.events, [], None, None, custom_status_changed=False)
        execution = self.world.new_execution()
        return make_plan(row.facts, result, next_execution=execution, is_suspended=intake.is_suspended)

    def _follow(self, held: Held, c: Commit, answer: Answer) -> None:
        """Take over what became of a plan."""
        key, plan = held.lease.instance, c.plan
        held.results = []
        if answer.is_dropped:
            self.elsewhere += answer.results_in_hand
            self._drop_body(held)
            del self.held[key]
            self.tables.release([held.lease])
            return
        if plan is not None:
            is_new = plan.next_execution is not None
            execution = plan.next_execution or held.lease.execution
            length = 0 if is_new else held.lease.length + len(plan.events)
            held.lease = Lease(key, held.lease.owner, held.lease.epoch, execution, length)
            if is_new:
                self._drop_body(held)
        self.todo.extend(answer.share)
        held.letters = self._shuffle(answer.letters)
        if not answer.is_kept:
            del self.held[key]
            self._put_body(held)
        elif not self.world.cache:
            self._drop_body(held)

    def _drop_body(self, held: Held) -> None:
        if held.turn is not None:
            held.turn.close()
            held.turn = None

    def _let_go(self) -> Labels:
        """The commit was stored, but its answer was lost: forget everything, to begin from the tables."""
        for held in self.held.values():
            self._drop_body(held)
        self.held.clear()
        self.todo.clear()
        self.tables.hand_back(self.owner)
        yield from self.world.commit("handed back")

    # --- activities

    def _run_activities(self) -> Labels:
        for _ in range(self.world.random.randint(1, 3)):
            if not self.todo:
                return
            self.running = self.todo.popleft()
            yield "activity begun"
            result = self._call(self.running)
            yield "activity done"
            self.running = None
            held = self.held.get(result.delivery.instance)
            is_blind = self.tables.has(Mutant.FOREIGN_RESULT)
            if held is not None and (is_blind or held.lease.execution == result.delivery.execution):
                held.results.append(result)
            else:
                self.elsewhere.append(result)

    def _call(self, delivery: Delivery) -> Result:
        """Do the side effect. What comes out differs each time, so that recording it twice cannot hide."""
        event = delivery.event
        effect = (delivery.instance, delivery.execution, event.event_id, event.attempt or 1)
        self.world.effects[effect] += 1
        now = self.tables.now
        if event.name == "flaky" and self.world.random.random() < 0.4:
            details = FailureDetails("builtins.ValueError", f"call {self.world.effects[effect]}")
            failed = TaskFailed(
                timestamp=now, task_scheduled_id=event.event_id, failure_details=details, attempt=event.attempt
            )
            return Result(delivery, failed)
        value = [payloads.load(event.input), event.attempt or 1, self.world.effects[effect]]
        text = payloads.dump(value)
        done = TaskCompleted(timestamp=now, task_scheduled_id=event.event_id, result=text, attempt=event.attempt)
        return Result(delivery, done)

    def _settle_elsewhere(self) -> Labels:
        if self.elsewhere:
            results, self.elsewhere = self.elsewhere, []
            self.tables.settle(results)
            yield from self.world.commit("settled")

    def _give_back(self) -> Labels:
        for held in self.held.values():
            self.elsewhere += held.results
        yield from self._settle_elsewhere()
        self.tables.release([held.lease for held in self.held.values()])
        for held in self.held.values():
            self._put_body(held)
        self.held.clear()
        self.tables.put_back(self.todo)
        self.todo.clear()
        yield from self.world.commit("given back")


def _is_from_client(letter: Letter) -> bool:
    return letter.is_control or isinstance(letter.event, EventRaised)
