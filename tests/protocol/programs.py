"""Random orchestrations for the simulation: a list of blocks, which is also the input, and one body that walks it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from random import Random
from typing import Any

from orchestrations.authoring.context import OrchestrationContext
from orchestrations.engine.execution import Execution
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.tasks import Task

Block = list[Any]
KINDS = ("activity", "flaky", "fan", "timer", "event", "timed-event", "race", "child", "status", "send", "lost")
CHILD_KINDS = ("activity", "flaky", "fan", "timer", "race")
RETRY = RetryOptions(1, 3, backoff_coefficient=2.0)


def make_program(random: Random) -> dict[str, Any]:
    """Return the input of a random orchestration of one to five blocks; some continue as new before one of them."""
    blocks = [_make_block(random, random.choice(KINDS)) for _ in range(random.randint(1, 4))]
    again = random.randint(0, len(blocks) - 1) if random.random() < 0.3 else None
    if again is not None and random.random() < 0.5:
        blocks.insert(again, ["lost", 0])
        again += 1
    return {"blocks": blocks, "again": again, "out": []}


def count_events(program: dict[str, Any]) -> int:
    """Return how many events the program can wait for."""
    return sum(block[0] in ("event", "timed-event") for block in program["blocks"])


def walk(execution: Execution) -> Generator[Task, Any, Any]:
    """Start the body that walks the program which is its input."""
    return _walk(OrchestrationContext(execution))


def _make_block(random: Random, kind: str) -> Block:
    number = random.randint(0, 9)
    if kind == "fan":
        return [kind, [random.randint(0, 9) for _ in range(random.randint(0, 4))]]
    if kind in ("timer", "timed-event", "race"):
        return [kind, number, random.randint(0, 5)]
    if kind == "child":
        blocks = [_make_block(random, random.choice(CHILD_KINDS)) for _ in range(random.randint(1, 2))]
        return [kind, {"blocks": blocks, "again": None, "out": []}]
    return [kind, number]


def _walk(context: OrchestrationContext) -> Generator[Task, Any, list[Any] | None]:
    program = context.get_input()
    out: list[Any] = program["out"]
    for place, block in enumerate(program["blocks"]):
        if place == program["again"]:
            context.continue_as_new({"blocks": program["blocks"][place:], "again": None, "out": out})
            return None
        yield from _BLOCKS[block[0]](context, block, out)
    return out


def _activity(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append((yield context.call_activity("work", block[1])))


def _flaky(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append((yield context.call_activity("flaky", block[1], retry=RETRY)))


def _fan(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append((yield context.task_all([context.call_activity("work", n) for n in block[1]])))


def _timer(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append((yield context.create_timer(timedelta(seconds=block[2]))))


def _event(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append({"event": (yield context.wait_for_external_event("go"))})


def _timed_event(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    out.append({"event": (yield context.wait_for_external_event("go", timedelta(seconds=block[2]), default=None))})


def _race(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    task, timer = context.call_activity("work", block[1]), context.create_timer(timedelta(seconds=block[2]))
    winner = yield context.task_any([task, timer])
    timer.cancel()
    out.append(["activity" if winner is task else "timer", (yield context.call_activity("work", block[1] + 10))])


def _child(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    try:
        out.append((yield context.call_sub_orchestrator("program", block[1])))
    except Exception as error:
        out.append(str(error))


def _status(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    context.set_custom_status({"step": block[1], "at": context.new_uuid()})
    yield from ()


def _send(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    context.send_event(f"o{block[1] % 6}", "note", block[1])
    yield from ()


def _lost(context: OrchestrationContext, block: Block, out: list[Any]) -> Generator[Task, Any, None]:
    context.call_activity("work", block[1])  # nobody waits for it
    yield from ()


_BLOCKS = {
    "activity": _activity,
    "flaky": _flaky,
    "fan": _fan,
    "timer": _timer,
    "event": _event,
    "timed-event": _timed_event,
    "race": _race,
    "child": _child,
    "status": _status,
    "send": _send,
    "lost": _lost,
}
