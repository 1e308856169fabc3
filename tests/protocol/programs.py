"""Random orchestrations: a list of blocks, which is also the input, and one orchestrator that walks it.

A block is `[kind, …]`; what it comes to is appended to the output, so that the end shows what each task gave. The
activities leave what they did on the stage, which is the side effect that nobody can take back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from orchestrations import ActivityContext, OrchestrationContext, RetryOptions, Task, activity, orchestrator
from orchestrations.engine.execution import Execution
from orchestrations.faults import crashpoint
from orchestrations.store import clock

Block = list[Any]
Walk = Generator[Task, Any, None]
RETRY = RetryOptions(1, 3, backoff_coefficient=2.0)
PROGRAM = "SimProgram"
SHARED = ("shared-0", "shared-1")
"""Ids of children that several parents ask for."""


class Stage:
    """What one run's code has done and must heed. `effects` counts side effects by idempotency key and attempt."""

    def __init__(self, random: Random, queue_of: Callable[[], str] = lambda: "") -> None:
        self.random, self.queue_of = random, queue_of
        self.effects: Counter[tuple[str, int]] = Counter()
        self.results: dict[tuple[str, int], list[Any]] = {}
        self.once: set[str] = set()
        self.problems: list[str] = []
        self.is_deployed_badly = False

    def enact(self, context: ActivityContext, value: Any) -> list[Any]:
        """Do the side effect. What comes out differs each time, so that recording it twice cannot hide."""
        key = (context.idempotency_key, context.attempt)
        self.effects[key] += 1
        queue = self.queue_of()
        if queue and queue.partition(".")[0] != context.idempotency_key.partition("/")[0]:
            self.problems.append(f"{context.idempotency_key} ran on a worker of queue {queue}")
        crashpoint("inside-activity")
        result = [value, context.attempt, self.effects[key]]
        self.results.setdefault(key, []).append(result)
        return result


@dataclass(frozen=True)
class Step:
    """A block that is walked: what it may do, what it adds to, and the blocks after it."""

    context: OrchestrationContext
    block: Block
    out: list[Any]
    rest: list[Block]


stage = Stage(Random(0))


def set_stage(new: Stage) -> None:
    """Let the code act on that stage from now on."""
    global stage
    stage = new


@activity(name="SimWork")
def work(context: ActivityContext, value: Any) -> list[Any]:
    return stage.enact(context, value)


@activity(name="SimSlow", queue="slow")
def work_elsewhere(context: ActivityContext, value: Any) -> list[Any]:
    return stage.enact(context, value)


@activity(name="SimOnce", at_most_once=True)
def work_once(context: ActivityContext, value: Any) -> list[Any]:
    stage.once.add(context.idempotency_key)
    return stage.enact(context, value)


@activity(name="SimFlaky")
def fail_at_times(context: ActivityContext, value: Any) -> list[Any]:
    result = stage.enact(context, value)
    if stage.random.random() < 0.4:
        raise ValueError(f"call {result[2]}")
    return result


@orchestrator(name=PROGRAM)
def walk(context: OrchestrationContext) -> Generator[Task, Any, list[Any] | None]:
    program = context.get_input()
    out: list[Any] = program["out"]
    for place, block in enumerate(program["blocks"]):
        if place == program["again"]:
            context.continue_as_new({"blocks": program["blocks"][place:], "again": None, "out": out})
            return None
        yield from _BLOCKS[block[0]](Step(context, block, out, program["blocks"][place + 1 :]))
        if context.current_utc_datetime > clock.now():
            stage.problems.append(f"{context.instance_id} lives in the future")
    return out


def start(execution: Execution) -> Generator[Task, Any, list[Any] | None]:
    """Start the body that walks its input, for tests of the engine alone."""
    return walk(OrchestrationContext(execution))


def make_program(random: Random, kinds: tuple[str, ...], place: int) -> dict[str, Any]:
    """Return the input of a random orchestration of one to three blocks; some continue as new before one of them."""
    chosen = [kind for kind in kinds if kind in BLOCKS]
    blocks = [_make_block(random, random.choice(chosen), place) for _ in range(random.randint(1, 3))]
    again = random.randint(0, len(blocks) - 1) if random.random() < 0.3 else None
    if again is not None and random.random() < 0.5:
        blocks.insert(again, ["lost", 0])
        again += 1
    return {"blocks": blocks, "again": again, "out": []}


def count_events(program: dict[str, Any]) -> int:
    """Return how many events named `go` the program can wait for."""
    return sum(block[0] in ("event", "timed-event") for block in program["blocks"])


def _make_block(random: Random, kind: str, place: int) -> Block:
    number = random.randint(0, 9)
    if kind == "fan":
        return [kind, [random.randint(0, 9) for _ in range(random.randint(0, 3))]]
    if kind in ("timer", "timed-event", "race", "spin"):
        return [kind, number, random.randint(0, 3)]
    if kind in ("child", "left-child", "shared", "twins", "lettered"):
        return [kind, _make_child(random, place), random.choice(SHARED)]
    return [kind, number]


def _make_child(random: Random, place: int) -> dict[str, Any]:
    blocks = [_make_block(random, random.choice(CHILD_KINDS), place) for _ in range(random.randint(0, 2))]
    return {"blocks": blocks, "again": None, "out": []}


def _activity(step: Step) -> Walk:
    step.out.append((yield step.context.call_activity("SimWork", step.block[1])))


def _slow(step: Step) -> Walk:
    step.out.append((yield step.context.call_activity("SimSlow", step.block[1])))


def _once(step: Step) -> Walk:
    step.out.append((yield from _settle(step.context.call_activity("SimOnce", step.block[1]))))


def _flaky(step: Step) -> Walk:
    step.out.append((yield from _settle(step.context.call_activity("SimFlaky", step.block[1], retry=RETRY))))


def _fan(step: Step) -> Walk:
    step.out.append((yield step.context.task_all([step.context.call_activity("SimWork", n) for n in step.block[1]])))


def _timer(step: Step) -> Walk:
    due = step.context.current_utc_datetime + timedelta(seconds=step.block[2])
    yield step.context.create_timer(due)
    if due > clock.now():
        stage.problems.append(f"a timer of {step.context.instance_id} fired {due - clock.now()} early")


def _event(step: Step) -> Walk:
    step.out.append({"event": (yield step.context.wait_for_external_event("go"))})


def _timed_event(step: Step) -> Walk:
    step.out.append(
        {"event": (yield step.context.wait_for_external_event("go", timedelta(seconds=step.block[2]), default=None))}
    )


def _race(step: Step) -> Walk:
    task, timer = (
        step.context.call_activity("SimWork", step.block[1]),
        step.context.create_timer(timedelta(seconds=step.block[2])),
    )
    winner = yield step.context.task_any([task, timer])
    timer.cancel()
    step.out.append(
        ["activity" if winner is task else "timer", (yield step.context.call_activity("SimWork", step.block[1] + 10))]
    )


def _spin(step: Step) -> Walk:
    """Continue as new at once when an activity or a timer is there, whatever else is on its way."""
    task, timer = (
        step.context.call_activity("SimWork", step.block[1]),
        step.context.create_timer(timedelta(seconds=0.1)),
    )
    yield step.context.task_any([task, timer])
    if step.block[2]:
        blocks = [["spin", step.block[1], step.block[2] - 1], *step.rest]
        step.context.continue_as_new({"blocks": blocks, "again": None, "out": step.out})
    yield from ()


def _child(step: Step) -> Walk:
    step.out.append((yield from _settle(step.context.call_sub_orchestrator(PROGRAM, step.block[1]))))


def _left_child(step: Step) -> Walk:
    step.context.call_sub_orchestrator(PROGRAM, step.block[1])  # nobody waits for it
    yield from ()


def _shared(step: Step) -> Walk:
    """Ask for a child whose id others ask for as well."""
    step.out.append((yield from _settle(step.context.call_sub_orchestrator(PROGRAM, step.block[1], step.block[2]))))


def _twins(step: Step) -> Walk:
    """Ask for two children of one id in one turn."""
    for task in [step.context.call_sub_orchestrator(PROGRAM, step.block[1], step.block[2]) for _ in range(2)]:
        step.out.append((yield from _settle(task)))


def _lettered(step: Step) -> Walk:
    """Start a child and write to it in the same turn; it waits for the letter."""
    name = f"{step.context.instance_id}-{step.context.new_uuid()[:8]}"
    child = step.context.call_sub_orchestrator(PROGRAM, {"blocks": [["letter"]], "again": None, "out": []}, name)
    step.context.send_event(name, "letter", "dear child")
    answer = yield from _settle(child)
    if answer not in (["dear child"], "ended from outside"):
        stage.problems.append(f"{name} got {answer} for a letter")
    step.out.append(answer)


def _letter(step: Step) -> Walk:
    step.out.append(
        (yield step.context.wait_for_external_event("letter", timedelta(seconds=60), default="nothing came"))
    )


def _progress(step: Step) -> Walk:
    """Hear what a child says before it ends."""
    child = step.context.call_sub_orchestrator(PROGRAM, {"blocks": [["report"]], "again": None, "out": []})
    seen: list[Any] = []
    while True:
        report = step.context.wait_for_external_event("report")
        if (yield step.context.task_any([report, child])) is child:
            break
        seen.append(report.result)
    report.cancel()
    if not child.is_failed and seen != [0, 1, 2]:
        stage.problems.append(f"{step.context.instance_id} heard {seen} before its child's end")
    step.out.append(seen)


def _report(step: Step) -> Walk:
    for number in range(3):
        step.context.send_event(step.context.parent_instance_id or "", "report", number)
    yield from ()


def _status(step: Step) -> Walk:
    step.context.set_custom_status({"step": step.block[1], "at": step.context.new_uuid()})
    yield from ()


def _send(step: Step) -> Walk:
    step.context.send_event(f"o{step.block[1] % 3}", "note", step.block[1])
    yield from ()


def _lost(step: Step) -> Walk:
    step.context.call_activity("SimWork", step.block[1])  # nobody waits for it
    yield from ()


def _deviate(step: Step) -> Walk:
    """Decide otherwise on replay while the code is bad, which parks the instance."""
    if step.context.is_replaying and stage.is_deployed_badly:
        step.context.call_activity("SimSlow", "never asked for")
    step.out.append((yield step.context.call_activity("SimWork", step.block[1])))


def _settle(task: Task) -> Generator[Task, Any, Any]:
    """Wait for a task; a failure comes to its text."""
    try:
        return (yield task)
    except Exception as error:
        return "ended from outside" if "nough" in str(error) else str(error)


_BLOCKS = {
    "activity": _activity,
    "slow": _slow,
    "once": _once,
    "flaky": _flaky,
    "fan": _fan,
    "timer": _timer,
    "event": _event,
    "timed-event": _timed_event,
    "race": _race,
    "spin": _spin,
    "child": _child,
    "left-child": _left_child,
    "shared": _shared,
    "twins": _twins,
    "lettered": _lettered,
    "letter": _letter,
    "progress": _progress,
    "report": _report,
    "status": _status,
    "send": _send,
    "lost": _lost,
    "deviate": _deviate,
}
INNER = ("letter", "report")
CHILD_KINDS = ("activity", "flaky", "fan", "timer", "race", "slow")
BLOCKS = tuple(kind for kind in _BLOCKS if kind not in INNER)
PURE = ("activity", "flaky", "fan", "timer", "event", "timed-event", "race", "child", "status", "send", "lost")
"""Kinds that an engine without a store can be given."""
EVERYTHING = (*BLOCKS, "hubs", "replacing")
"""What a run may have in it: kinds of blocks, a second hub, and clients that replace live children.

Runs that look for a rare bug may ask for more of what it needs: `steering` clients, code that is `bad` from the start,
workers that lose their leases as `zombies`.
"""
