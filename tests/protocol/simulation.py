"""The deterministic simulation: one thread, one `Random(seed)`, the real engine, everything else made of what can fail.

For some thousand steps chance decides who goes on and what fails; then faults stop, and all must come to its end. Run
`python -m tests.protocol.simulation 4711` to replay a seed, with the names of mutants after it to plant them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from datetime import timedelta
from random import Random
from typing import Any

from orchestrations.engine import payloads
from orchestrations.engine.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from orchestrations.errors import DurableError
from tests.invariants import check_history, check_stored
from tests.protocol.mutants import Mutant
from tests.protocol.programs import count_events, make_program, walk
from tests.protocol.rows import FIRST, InstanceRow, Violation
from tests.protocol.worker import Labels, Worker, World

WORKERS = 3
FAULT_STEPS = 1_500
QUIET_STEPS = 8_000
JUMP = timedelta(seconds=20)


class Process:
    """A place for one worker process: it may die, and a new one takes its place."""

    def __init__(self, simulation: Simulation, place: int) -> None:
        self._simulation, self._place, self._starts = simulation, place, 0
        self.worker: Worker
        self.job: Labels | None = None
        self.label = ""
        self.start()

    def start(self) -> None:
        """Begin anew, with an owner that nobody has had."""
        self._starts += 1
        self.worker = Worker(self._simulation.world, f"w{self._place}.{self._starts}")
        self.job = None

    def advance(self) -> None:
        """Go on to the next label."""
        assert self.job is not None
        try:
            self.label = next(self.job)
        except StopIteration:
            self.job = None


class Simulation:
    """One run."""

    def __init__(self, seed: int, mutants: frozenset[Mutant] = frozenset()) -> None:
        self.random = Random(seed)
        self.world = World(self.random, mutants)
        self.tables, self.queue = self.world.tables, self.world.queue
        self.processes = [Process(self, place) for place in range(WORKERS)]
        self.clients: list[Labels] = []
        self.accepted: dict[int, list[int]] = {}
        self.dead: list[str] = []
        self.faults = self.kills = 0
        self.steps = 0
        for place in range(self.random.randint(1, 6)):
            self._add_clients(place)

    def run(self) -> None:
        """Run to the end; raises `Violation`."""
        try:
            for _ in range(FAULT_STEPS):
                if self._is_done():
                    break
                self._step()
            self.world.has_faults = self.queue.is_down = False
            for _ in range(QUIET_STEPS):
                if self._is_done():
                    break
                self._step()
            self._check_end()
        except DurableError as error:
            raise Violation(f"I4: {error.message}") from error

    # --- what clients do

    def _add_clients(self, place: int) -> None:
        program = make_program(self.random)
        instance_id, execution = f"o{place}", f"e{place}"
        self.clients.append(self._start(program, instance_id, execution))
        if (wanted := count_events(program)) > 0:
            self.clients.append(self._raise_events(instance_id, wanted + self.random.randint(0, 1)))
        dice = self.random.random()
        if dice < 0.1:
            self.clients.append(self._terminate(instance_id))
        elif dice < 0.3:
            self.clients.append(self._suspend_and_resume(instance_id))

    def _start(self, program: dict[str, Any], instance_id: str, execution: str) -> Labels:
        started = ExecutionStarted(
            timestamp=self.tables.now,
            name="program",
            instance_id=instance_id,
            execution_id=execution,
            input=payloads.dump(program),
        )
        self.accepted[self.tables.create(started)] = []
        yield from self.world.commit("started")

    def _raise_events(self, instance_id: str, count: int) -> Labels:
        for number in range(count):
            yield from self._wait_for(instance_id)
            key = self.tables.by_id[instance_id]
            event = EventRaised(timestamp=self.tables.now, name="go", input=payloads.dump(number))
            if not self.tables.deliver(key, event, f"event/{number}"):
                return
            self.accepted[key].append(number)
            yield from self.world.commit("raised")
            while self.world.chance(0.3):  # the answer was lost, and the client sends it again
                self.tables.deliver(key, event, f"event/{number}")
                yield from self.world.commit("raised again")

    def _terminate(self, instance_id: str) -> Labels:
        yield from self._wait_for(instance_id)
        terminated = ExecutionTerminated(timestamp=self.tables.now, input='"enough"')
        self.tables.deliver(self.tables.by_id[instance_id], terminated, "terminate")
        yield from self.world.commit("terminated")

    def _suspend_and_resume(self, instance_id: str) -> Labels:
        for kind in (ExecutionSuspended, ExecutionResumed):
            yield from self._wait_for(instance_id)
            event = kind(timestamp=self.tables.now, reason="why")
            self.tables.deliver(self.tables.by_id[instance_id], event, kind.__name__)
            yield from self.world.commit(kind.__name__)

    def _wait_for(self, instance_id: str) -> Labels:
        while instance_id not in self.tables.by_id or self.world.chance(0.7):
            yield "waiting"

    # --- what chance does

    def _step(self) -> None:
        self.steps += 1
        dice = self.random.random()
        for probability, choice in _CHOICES:
            dice -= probability
            if dice < 0:
                choice(self)
                break
        self._check_step()

    def _take_hint(self) -> None:
        idle = [process for process in self.processes if process.job is None]
        if not idle or not self.queue.hints or self.queue.is_down:
            return self._advance()
        if not self.world.chance(0.15):  # else the hint stays, and comes twice
            self.queue.hints -= 1
        process = self.random.choice(idle)
        process.job = process.worker.run_job()
        return process.advance()

    def _advance(self) -> None:
        """Let a process go on, or kill it."""
        busy = [process for process in self.processes if process.job is not None]
        if not busy:
            return self._let_time_pass()
        process = self.random.choice(busy)
        if self.world.chance(0.02):
            self.faults += 1
            self.kills += 1
            self.dead.append(process.worker.owner)
            return process.start()
        return process.advance()

    def _serve_client(self) -> None:
        if not self.clients:
            return self._advance()
        client = self.random.choice(self.clients)
        try:
            label = next(client)
        except StopIteration:
            return self.clients.remove(client)
        if label in ("key set", "started", "raised", "terminated") and self.world.chance(0.1):
            self.faults += 1  # its process dies between COMMIT and the wake; another one serves it from here
            self.clients.remove(client)
            self.clients.append(_skip_wake(client))
        return None

    def _let_time_pass(self) -> None:
        is_jump = self.world.chance(0.12)
        self.faults += is_jump
        self.tables.now += JUMP if is_jump else timedelta(seconds=self.random.choice((0.1, 0.5, 1.0)))
        reached = {at for at in self.queue.planned if at <= self.tables.now}
        if reached:
            self.queue.planned -= reached
            self._wake()
        if self.random.random() < 0.5:
            self._sweep()

    def _sweep(self) -> None:
        if self.tables.has(Mutant.NO_SWEEPER):
            return
        if self.dead and self.random.random() < 0.3:
            self.tables.expire(self.dead.pop())
            self.tables.take_announced()
        if self.tables.count_due() and self.queue.hints < WORKERS:
            self._wake()

    def _wake(self) -> None:
        if self.queue.set_key(self.tables.now):
            self.queue.enqueue()

    def _supervise(self) -> None:
        """Beat: renew the leases of living workers, or hand back what a long activity holds up."""
        running = [p.worker for p in self.processes if p.job is not None and p.worker.running is not None]
        if running and self.random.random() < 0.3:
            worker = self.random.choice(running)
            assert worker.running is not None
            self.tables.hand_back(worker.owner, keep=worker.running.key)
            for _ in self.world.commit("handed back"):
                pass
        else:
            self.tables.renew(process.worker.owner for process in self.processes)

    def _lose_lease(self) -> None:
        """A renewal skips a row that is locked, until its lease runs out under a living worker."""
        leased = [row for row in self.tables.instances.values() if row.owner]
        if not leased or not self.world.has_faults:
            return self._advance()
        self.faults += 1
        self.random.choice(leased).until = self.tables.now
        if self.random.random() < 0.5:
            self._wake()
        return None

    def _break_queue(self) -> None:
        if not self.world.has_faults:
            return self._advance()
        self.faults += 1
        dice = self.random.random()
        if dice < 0.5:
            self.queue.flush()
        elif dice < 0.75:
            self.queue.stick(self.tables.now)
        else:
            self.queue.is_down = not self.queue.is_down
        return None

    # --- what must hold

    def _is_done(self) -> bool:
        if self.clients or any(process.job is not None for process in self.processes) or self.tables.activities:
            return False
        return all(row.status.is_terminal for row in self.tables.instances.values())

    def _check_step(self) -> None:
        """I15: while a message that counts waits, `due_at` is set and not later."""
        for row in self.tables.instances.values():
            due = row.due()
            if due is not None and (row.due_at is None or row.due_at > max(due, FIRST)):
                raise Violation(f"I15: {row.instance_id} has a message for {due}, and is due at {row.due_at}")

    def _check_end(self) -> None:
        for row in self.tables.instances.values():
            if not row.status.is_terminal:
                raise Violation(f"I1: {row.instance_id} is still {row.status.value}")
        if self.tables.activities:
            raise Violation(f"I5: {len(self.tables.activities)} activities were never settled")
        for row in self.tables.instances.values():
            for execution in (*row.past, row.history):
                for problem in check_history(execution, walk):
                    raise Violation(f"I2-I4: {row.instance_id}: {problem}")
            for problem in check_stored(row.history, row.status.value, row.output, row.failure):
                raise Violation(f"I4: {row.instance_id}: {problem}")
            self._check_activities(row)
            self._check_events(row)

    def _check_activities(self, row: InstanceRow) -> None:
        """I5: no row that is not a command of its history, and no outcome of what was never run."""
        events = [event for history in (*row.past, row.history) for event in history]
        asked = {id(event) for event in events if isinstance(event, TaskScheduled)}
        for task in self.tables.dispatched:
            if task.instance == row.key and id(task.event) not in asked:
                raise Violation(f"I5: {row.instance_id} never asked for activity {task.event.event_id}")
        effects = self.world.effects
        for history in (*row.past, row.history):
            execution = next((e.execution_id for e in history if isinstance(e, ExecutionStarted)), "")
            for event in history:
                if not isinstance(event, TaskCompleted | TaskFailed):
                    continue
                if not effects[row.key, execution, event.task_scheduled_id, event.attempt or 1]:
                    raise Violation(f"I5: {row.instance_id} got the result of an activity that never ran")

    def _check_events(self, row: InstanceRow) -> None:
        """I12: what was accepted was consumed once, in order, or is kept; nothing is there twice."""
        accepted = self.accepted.get(row.key)
        if accepted is None or row.failure is not None:
            return
        raised = [*_numbers(row.history), *_numbers([m.event for m in row.inbox])]
        if len(raised) != len(set(raised)):
            raise Violation(f"I12: {row.instance_id} has the events {raised}, of them some twice")
        if row.output is None or row.status != "Completed":
            return
        consumed = [b["event"] for b in payloads.load(row.output) if isinstance(b, dict) and b["event"] is not None]
        if consumed != sorted(set(consumed)):
            raise Violation(f"I12: {row.instance_id} consumed the events {consumed}")
        if set(raised) | set(consumed) != set(accepted):
            raise Violation(f"I12: {row.instance_id} accepted {accepted}, consumed {consumed}, holds {raised}")


def _numbers(events: list[HistoryEvent]) -> list[int]:
    return [payloads.load(e.input) for e in events if isinstance(e, EventRaised) and e.name == "go"]


def _skip_wake(client: Labels) -> Generator[str, None, None]:
    """Go on with a client's next operation, its present wake lost."""
    for label in client:
        if label not in ("key set", "hint sent"):
            yield label


_CHOICES: list[tuple[float, Callable[[Simulation], None]]] = [
    (0.12, Simulation._take_hint),
    (0.63, Simulation._advance),
    (0.08, Simulation._serve_client),
    (0.10, Simulation._let_time_pass),
    (0.04, Simulation._supervise),
    (0.02, Simulation._lose_lease),
    (0.01, Simulation._break_queue),
]


def find_violation(seed: int, mutants: frozenset[Mutant] = frozenset()) -> str | None:
    """Return what a seed's run violates, or None."""
    try:
        Simulation(seed, mutants).run()
    except Violation as violation:
        return str(violation)
    return None


def main(arguments: list[str]) -> int:
    """Replay one seed."""
    seed, *names = arguments
    found = find_violation(int(seed), frozenset(Mutant[name] for name in names))
    print(found or "no violation")
    return found is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
