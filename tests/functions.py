"""Functions that the tests of store, runtime and client run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from orchestrations import (
    ActivityTimeoutError,
    OrchestrationContext,
    RetryOptions,
    TaskFailedError,
    activity,
    orchestrator,
)

Body = Generator[Any, Any, Any]


@activity
def echo(value: Any) -> Any:
    return value


@activity
def fail(message: str) -> None:
    raise ValueError(message)


@activity
def fail_until(spec: dict[str, Any]) -> str:
    """Fail until a file has been appended to so many times."""
    path = Path(spec["path"])
    with path.open("a") as file:
        file.write("x")
    if path.stat().st_size < spec["times"]:
        raise ConnectionError("not yet")
    return "at last"


@activity
def leave_a_trace(spec: dict[str, Any]) -> int:
    """Append the line to a file, and return the process that did it: a side effect that can be counted."""
    descriptor = os.open(spec["path"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{spec['line']}\n".encode())
    os.close(descriptor)
    if spec.get("seconds"):
        time.sleep(spec["seconds"])
    return os.getpid()


@activity
def return_a_set(_: Any) -> Any:
    return {1, 2}


@activity
def exit_the_process(_: Any) -> None:
    raise SystemExit(1)


@activity(timeout=0.6)
def outlast_the_deadline(seconds: float) -> None:
    time.sleep(seconds)


@activity
async def echo_async(value: Any) -> Any:
    return value


@orchestrator
def sequence(context: OrchestrationContext, count: int) -> Body:
    total = 0
    for number in range(count):
        total += yield context.call_activity("echo", number)
    return total


@orchestrator
async def fan_out(context: OrchestrationContext, width: int) -> Any:
    return sum(await context.task_all([context.call_activity("echo", number) for number in range(width)]))


@activity
def rest(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@orchestrator
def slow_fan_out(context: OrchestrationContext, width: int) -> Body:
    results = yield context.task_all([context.call_activity("rest", 0.01) for _ in range(width)])
    return len(results)


@orchestrator
def trace_all(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    """Leave so many traces, one after the other, then as many at once."""
    for number in range(spec["count"]):
        line = f"{context.instance_id} s{number}"
        yield context.call_activity("leave_a_trace", {"path": spec["path"], "line": line})
    tasks = []
    for number in range(spec["count"]):
        line = f"{context.instance_id} p{number}"
        tasks.append(context.call_activity("leave_a_trace", {"path": spec["path"], "line": line}))
    yield context.task_all(tasks)
    return spec["count"] * 2


@orchestrator
def timer(context: OrchestrationContext, seconds: float) -> Body:
    started = context.current_utc_datetime
    yield context.create_timer(timedelta(seconds=seconds))
    return (context.current_utc_datetime - started).total_seconds()


@orchestrator
def wait_for(context: OrchestrationContext, names: list[str]) -> Body:
    found = []
    for name in names:
        found.append((yield context.wait_for_external_event(name)))
    return found


@orchestrator
async def two_of_two(context: OrchestrationContext) -> Any:
    """Wait for two decisions of one name, beside many timers."""
    timers = [context.create_timer(timedelta(hours=1)) for _ in range(25)]
    both = context.task_all([context.wait_for_external_event("Approval"), context.wait_for_external_event("approval")])
    await context.task_any([*timers, both])
    return [decision["by"] for decision in both.result]


@orchestrator
def wait_or_default(context: OrchestrationContext, seconds: float) -> Body:
    return (yield context.wait_for_external_event("Go", timedelta(seconds=seconds), "nobody"))


@orchestrator
async def parent(context: OrchestrationContext, names: list[str]) -> Any:
    tasks = [context.call_sub_orchestrator("wait_for", [name]) for name in names]
    return await context.task_all(tasks)


@orchestrator
async def nested(context: OrchestrationContext, depth: int) -> Any:
    return 0 if depth == 0 else 1 + await context.call_sub_orchestrator("nested", depth - 1)


@orchestrator
def retry(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    options = RetryOptions(0.01, spec["attempts"])
    return (yield context.call_activity("fail_until", spec, retry=options))


@orchestrator
def catch(context: OrchestrationContext) -> Body:
    try:
        yield context.call_activity("fail", "card declined")
    except ValueError as error:
        return str(error)
    return "nothing"


@orchestrator
def let_it_fail(context: OrchestrationContext) -> Body:
    yield context.call_activity("fail", "card declined")


@orchestrator
def count_to(context: OrchestrationContext, state: dict[str, int]) -> Body:
    """An eternal orchestration that ends: it continues as new until it has counted far enough."""
    yield context.call_activity("echo", 1)
    if state["now"] < state["end"]:
        context.continue_as_new({"now": state["now"] + 1, "end": state["end"]})
        return None
    return state["now"]


@orchestrator
def leave_one_behind(context: OrchestrationContext, is_second: bool) -> Body:
    """Continue as new beside an activity that nobody awaits; the next execution asks for one under the same number."""
    if not is_second:
        context.call_activity("echo", "of the first execution")
        context.continue_as_new(True)
        return None
    return (yield context.call_activity("echo", "of the second execution"))


@orchestrator
def collect(context: OrchestrationContext, state: dict[str, Any]) -> Body:
    """Collect events over executions: none may be lost between two of them."""
    found = state["found"]
    found.append((yield context.wait_for_external_event("Item")))
    if len(found) < state["count"]:
        context.continue_as_new({"found": found, "count": state["count"]})
        return None
    return found


@orchestrator
def send(context: OrchestrationContext, target: str) -> Body:
    context.send_event(target, "Go", {"from": context.instance_id})
    yield context.call_activity("echo", 1)


@orchestrator
def call(context: OrchestrationContext, name: str) -> Body:
    return (yield context.call_activity(name, 1))


@orchestrator
def start_as(context: OrchestrationContext, child_id: str) -> Body:
    return (yield context.call_sub_orchestrator("sequence", 1, child_id))


@orchestrator
def slow(context: OrchestrationContext, seconds: float) -> Body:
    return (yield context.call_activity("outlast_the_deadline", seconds))


@orchestrator
def trace_call(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    return (yield context.call_activity("leave_a_trace", spec))


@orchestrator
def busy_turn(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    """Leave a trace in the middle of a turn, and compute for so long: what no orchestrator should do, and some do."""
    yield context.call_activity("echo", 1)
    with open(spec["path"], "a") as file:
        file.write("turn\n")
    end = time.monotonic() + spec["seconds"]
    while time.monotonic() < end:
        pass
    return (yield context.call_activity("echo", 2))


@orchestrator
def endless_turn(context: OrchestrationContext) -> Body:
    yield context.call_activity("echo", 1)
    while True:
        pass


@orchestrator
def catch_the_timeout(context: OrchestrationContext, seconds: float) -> Body:
    try:
        yield context.call_activity("outlast_the_deadline", seconds)
    except TaskFailedError as error:
        return [error.details.error_type, error.details.message, error.details.is_non_retriable]
    return "it ended"


@activity(timeout=0.6)
def late_the_first_time(spec: dict[str, Any]) -> str:
    if leave_a_trace(spec) and len(Path(spec["path"]).read_text().splitlines()) == 1:
        time.sleep(30)
    return "second time"


@orchestrator
def catch_the_timeout_by_class(context: OrchestrationContext, seconds: float) -> Body:
    caught = []
    for kind in (ActivityTimeoutError, TimeoutError):
        try:
            yield context.call_activity("outlast_the_deadline", seconds)
        except kind as error:
            caught.append(str(error))
    return caught


@orchestrator
def stop_in_the_body(context: OrchestrationContext, how: str) -> Body:
    yield context.call_activity("echo", 1)
    raise {"exit": SystemExit(4), "interrupt": KeyboardInterrupt("now"), "hard": HardStop("limit reached")}[how]


@orchestrator
def retry_after_timeout(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    return (yield context.call_activity("late_the_first_time", spec, retry=RetryOptions(0.01, 2)))


@activity
def crash(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@activity
def leave_quietly(_: Any) -> None:
    os._exit(0)


class HardStop(BaseException):
    """No exception that anybody expects."""


@activity
def stop_hard(spec: dict[str, Any]) -> None:
    leave_a_trace(spec)
    raise HardStop("limit reached")


@orchestrator
def trace_and_stop(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    return (yield context.call_activity("stop_hard", spec))


@activity(timeout=0.5)
async def block_the_loop(spec: dict[str, Any]) -> int:
    leave_a_trace(spec)
    time.sleep(60)
    return 1


@activity(timeout=3.0)
def outlast_three_seconds(spec: dict[str, Any]) -> None:
    leave_a_trace(spec)
    time.sleep(60)


@activity
async def trace_and_nap(spec: dict[str, Any]) -> int:
    leave_a_trace(spec)
    await asyncio.sleep(spec["pause"])
    return os.getpid()


def _run_and_wait() -> Any:
    from orchestrations import DurableClient

    client = DurableClient()
    return client.wait_for_completion(client.start_new("plain"), timeout=10).output


@activity
def wait_for_another(_: Any) -> Any:
    return _run_and_wait()


@activity(thread=True)
def wait_for_another_in_a_thread(_: Any) -> Any:
    return _run_and_wait()


@orchestrator
def call_with(context: OrchestrationContext, spec: dict[str, Any]) -> Body:
    return (yield context.call_activity(spec["name"], spec))


@orchestrator
def plain(context: OrchestrationContext) -> str:
    return "done"


def wait_for_a(context: OrchestrationContext, _: int) -> Body:
    return [(yield context.wait_for_external_event("a"))]


RELEASES: dict[str, Callable[[OrchestrationContext, int], Body]] = {"released": wait_for_a}
"""What is deployed of an orchestrator whose code changes."""


@orchestrator
def released(context: OrchestrationContext, value: int) -> Body:
    return (yield from RELEASES["released"](context, value))


@orchestrator
def count_events(context: OrchestrationContext, progress: list[int]) -> Body:
    """Take one event in each execution, in the order of their numbers, and continue as new until all are taken."""
    taken, wanted = progress
    number = yield context.wait_for_external_event("number")
    if number != taken:
        raise ValueError(f"Event {number} came as number {taken}.")
    if taken + 1 == wanted:
        return wanted
    context.continue_as_new([taken + 1, wanted])
    return None
