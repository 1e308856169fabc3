"""What holds of every orchestration: random programs, answered in random order, cut into turns anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrations.engine.encoding import decode, encode
from orchestrations.engine.events import (
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
    TimerCreated,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.plan import TurnPlan, make_plan
from orchestrations.engine.state import InstanceFacts, Status
from orchestrations.engine.turn import Turn
from orchestrations.errors import NondeterminismError
from orchestrations.store import clock
from tests.builders import T0, child_done, child_failed, chunks, done, failed, fired, raised, text_of
from tests.invariants import check_history, check_stored
from tests.protocol.programs import PURE, make_program
from tests.protocol.programs import start as walk

FACTS = InstanceFacts("i", "program", "e", Status.RUNNING)
SEEDS = st.integers(0, 10**9)


class LocalClock:
    """This machine's time: the engine has no database that could be asked for another."""

    now = estimate = staticmethod(clock.local_now)
    monotonic, sleep = staticmethod(time.monotonic), staticmethod(time.sleep)


@pytest.fixture(scope="module", autouse=True)
def _local_clock() -> Iterator[None]:
    with clock.kept_by(LocalClock()):
        yield


def begin(program: dict[str, Any]) -> ExecutionStarted:
    """Return the message that starts the program."""
    return ExecutionStarted(
        timestamp=T0, name="program", instance_id="i", execution_id="e", input=text_of(program), parent=None
    )


class Run:
    """A program's turns: by one live body, or by a new one that replays before each turn."""

    def __init__(self, body: Callable[[Execution], Any] = walk, *, is_live: bool = True) -> None:
        self.body, self.is_live = body, is_live
        self.turn = Turn(body)
        self.history: list[HistoryEvent] = []
        self.plans: list[TurnPlan] = []

    def go(self, messages: Sequence[HistoryEvent]) -> TurnPlan:
        """Run a turn."""
        if not self.is_live:
            self.turn = Turn(self.body)
            self.turn.replay([decode(encode(event)) for event in self.history])
        plan = make_plan(FACTS, self.turn.advance(messages, T0), next_execution="n")
        self.history += plan.events
        self.plans.append(plan)
        return plan

    @property
    def is_over(self) -> bool:
        """True if the execution has ended or continues as new."""
        return bool(self.plans) and (self.plans[-1].is_terminal or self.plans[-1].next_execution is not None)

    @property
    def asked(self) -> list[str]:
        """All that it has ever asked for, but timers: those of the last turn are dropped with its end."""
        return [encode(event) for event in self.history if event.event_id > 0 and not isinstance(event, TimerCreated)]


def answers(random: Random, event: HistoryEvent) -> list[HistoryEvent]:
    """Return what comes of something that was asked for."""
    attempt: int | None = getattr(event, "attempt", None)
    if isinstance(event, TimerCreated):
        return [fired(event.event_id, (event.fire_at - T0).total_seconds(), attempt=attempt)]
    if isinstance(event, TaskScheduled):
        outcome = failed if event.name == "SimFlaky" and random.random() < 0.4 else done
        return [outcome(event.event_id, "x", attempt=attempt)]
    if isinstance(event, SubOrchestrationInstanceCreated):
        return [(child_failed if random.random() < 0.3 else child_done)(event.event_id, "x", attempt=attempt)]
    return []


def play(seed: int) -> tuple[dict[str, Any], list[list[HistoryEvent]], Run]:
    """Run a random program to its end; return it, the messages of each turn, and the run."""
    random = Random(seed)
    program = make_program(random, PURE, 0)
    messages: list[list[HistoryEvent]] = [[begin(program)]]
    pending: list[HistoryEvent] = [raised("go", number) for number in range(6)]
    run = Run()
    run.go(messages[0])
    while not run.is_over:
        for event in run.plans[-1].events:
            pending += answers(random, event)
        taken = [pending.pop(random.randrange(len(pending))) for _ in range(random.randint(1, min(3, len(pending))))]
        run.go(taken)
        messages.append(taken)
    return program, messages, run


@given(SEEDS, st.lists(st.integers(1, 4), max_size=30))
def test_turn_boundaries_do_not_matter(seed: int, sizes: list[int]) -> None:
    _, messages, run = play(seed)
    other = Run()
    flat = [message for turn in messages for message in turn]
    for piece in chunks(flat, sizes):
        if not other.is_over:
            other.go(piece)
    assert other.asked == run.asked
    assert other.plans[-1].output == run.plans[-1].output
    assert other.plans[-1].status == run.plans[-1].status


@given(SEEDS)
def test_replayed_bodies_do_what_the_live_one_does(seed: int) -> None:
    _, messages, run = play(seed)
    replayed = Run(is_live=False)
    for turn in messages:
        replayed.go(turn)
    assert [encode(e) for e in replayed.history] == [encode(e) for e in run.history]
    assert [p.withdrawn_timers for p in replayed.plans] == [p.withdrawn_timers for p in run.plans]


@given(SEEDS)
def test_replay_of_any_committed_prefix_asks_for_nothing_new_and_waits_for_the_same(seed: int) -> None:
    _, messages, _ = play(seed)
    run = Run()
    for turn in messages:
        run.go(turn)
        if run.plans[-1].next_execution is not None:
            break
        replayed = Turn(walk)
        replayed.replay(run.history)
        assert replayed.waiting() == run.turn.waiting()
        assert replayed.execution.custom_status == run.turn.execution.custom_status
        again = replayed.advance([], T0)
        assert (again.scheduled, again.received, again.withdrawn_timers, again.ignored) == ([], [], [], 0)


@given(SEEDS)
def test_history_keeps_all_invariants(seed: int) -> None:
    _, _, run = play(seed)
    found = check_history(run.history, walk)
    assert [problem for problem in found if not problem.endswith(" early")] == []  # time stands still here
    last = run.plans[-1]
    if last.is_terminal:
        message = last.failure.message if last.failure else None
        assert check_stored(run.history, last.status.value, last.output, message) == []


async def drive(generator: Any) -> Any:
    """Be a coroutine that awaits what a generator yields."""
    step, value = generator.send, None
    while True:
        try:
            task = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            step, value = generator.send, await task
        except Exception as error:
            step, value = generator.throw, error


@given(SEEDS)
def test_coroutine_and_generator_are_the_same(seed: int) -> None:
    _, messages, run = play(seed)
    coroutine = Run(lambda turn: drive(walk(turn)))
    for turn in messages:
        coroutine.go(turn)
    assert coroutine.asked == run.asked
    assert coroutine.plans[-1].output == run.plans[-1].output


@given(SEEDS, st.integers(0, 9))
@settings(max_examples=200)
def test_activity_put_into_the_code_is_noticed_wherever_it_is(seed: int, place: int) -> None:
    program, _, run = play(seed)
    if run.plans[-1].status is not Status.COMPLETED or program["again"] is not None:
        return
    place = min(place, len(program["blocks"]))
    changed = {**program, "blocks": [*program["blocks"][:place], ["lost", "new"], *program["blocks"][place:]]}
    with pytest.raises(NondeterminismError):
        Turn(walk).replay([_with_input(event, changed) for event in run.history])


@given(SEEDS)
@settings(max_examples=200)
def test_last_block_taken_out_of_the_code_is_noticed(seed: int) -> None:
    """Only the last: without an earlier one, the next may ask for the same under its number."""
    program, _, run = play(seed)
    *blocks, last = program["blocks"]
    may_be_silent = last[0] in ("status", "event", "fan", "timed-event")
    if run.plans[-1].status is not Status.COMPLETED or program["again"] is not None or may_be_silent:
        return
    with pytest.raises(NondeterminismError):
        Turn(walk).replay([_with_input(event, {**program, "blocks": blocks}) for event in run.history])


def _with_input(event: HistoryEvent, program: dict[str, Any]) -> HistoryEvent:
    return begin(program) if isinstance(event, ExecutionStarted) else event
