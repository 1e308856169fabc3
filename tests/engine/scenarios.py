"""Orchestrations whose histories are kept for ever: what an engine has written once, every later one must replay.

Never change one of these functions or its messages: add another. `python -m tests.engine.scenarios` writes to `golden/`
the histories of scenarios that have none yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from orchestrations.engine.encoding import from_members, to_members
from orchestrations.engine.events import (
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
    TimerFired,
)
from orchestrations.engine.failures import EventTimeoutError, TaskFailedError
from orchestrations.engine.plan import plan_termination
from orchestrations.engine.retries import RetryOptions
from tests.builders import NOTHING, T0, Play, child_done, child_failed, done, failed, fired, raised

DIRECTORY = Path(__file__).parent / "golden"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Scenario:
    """An orchestrator, its input, and the messages of each turn after the first."""

    function: Callable[..., Any]
    turns: Sequence[Sequence[HistoryEvent]]
    input: Any = NOTHING

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.function.__name__

    def record(self) -> list[HistoryEvent]:
        """Run it, and return its history without what depends on the machine."""
        play = Play(self.function, self.input)
        play.start()
        for messages in self.turns:
            ending = next((m for m in messages if isinstance(m, ExecutionTerminated)), None)
            if ending is None:
                due = max((m.fire_at for m in messages if isinstance(m, TimerFired)), default=play.now)
                play.go(*messages, after=max(1, (due - play.now).total_seconds()))
            else:
                play.history += plan_termination(play.facts, ending, messages, play.now + SECOND).events
        return [from_members(without_traces(to_members(event))) for event in play.history]


def without_traces(members: Any) -> Any:
    """Return the JSON without stack traces, which name files of the machine."""
    if isinstance(members, dict):
        return {key: without_traces(value) for key, value in members.items() if key != "StackTrace"}
    return members


def read(name: str) -> list[HistoryEvent]:
    """Return a kept history."""
    return [from_members(members) for members in json.loads((DIRECTORY / f"{name}.json").read_text())]


def write(scenario: Scenario) -> None:
    """Keep a history."""
    rows = ",\n".join(json.dumps(to_members(event), ensure_ascii=False) for event in scenario.record())
    (DIRECTORY / f"{scenario.name}.json").write_text(f"[\n{rows}\n]\n")


# --- the orchestrators


def hello_sequence(context: Any) -> Any:
    first = yield context.call_activity("E1_SayHello", "Tokyo")
    second = yield context.call_activity("E1_SayHello", "Seattle")
    return [first, second]


async def hello_coroutine(context: Any) -> Any:
    return [await context.call_activity("E1_SayHello", city) for city in ("Tokyo", "Seattle")]


def plain_function(context: Any, value: Any) -> Any:
    return {"doubled": value * 2}


def fan_out(context: Any, width: int) -> Any:
    return sum((yield context.task_all([context.call_activity("Square", n) for n in range(width)])))


def fan_out_with_failures(context: Any) -> Any:
    try:
        yield context.task_all([context.call_activity("A", n) for n in range(3)])
    except ValueError as error:
        context.set_custom_status({"failures": len(error.failures)})  # type: ignore[attr-defined]
        return str(error)


def race_won_by_the_activity(context: Any) -> Any:
    work, deadline = context.call_activity("Work"), context.create_timer(SECOND * 30)
    if (yield context.task_any([work, deadline])) is work:
        deadline.cancel()
        return work.result


def race_won_by_the_timer(context: Any) -> Any:
    work, deadline = context.call_activity("Work"), context.create_timer(SECOND * 30)
    yield context.task_any([work, deadline])
    return [(yield context.call_activity("GiveUp")), work.is_completed]


def retry_that_succeeds(context: Any) -> Any:
    return (yield context.call_activity("Flaky", 1, retry=RetryOptions(5, 4, backoff_coefficient=2)))


def retry_that_gives_up(context: Any) -> Any:
    yield context.call_activity("Flaky", retry=RetryOptions(5, 2))


def retried_children(context: Any) -> Any:
    return (yield context.call_sub_orchestrator_with_retry("Child", RetryOptions(1, 3), {"n": 1}))


def child_with_an_id(context: Any) -> Any:
    return (yield context.call_sub_orchestrator("Child", "in", "given-id", "2.0"))


def child_that_fails(context: Any) -> Any:
    try:
        yield context.call_sub_orchestrator("Child")
    except TaskFailedError as error:
        return error.details.error_type


def events_early_and_late(context: Any) -> Any:
    yield context.call_activity("Prepare")
    found = []
    for name in ("Go", "GO", "Stop"):
        found.append((yield context.wait_for_external_event(name)))
    return found


def event_that_times_out(context: Any) -> Any:
    try:
        yield context.wait_for_external_event("Approval", SECOND * 60)
    except EventTimeoutError:
        return (yield context.wait_for_external_event("Escalation", SECOND * 60, default="nobody"))


def event_in_time(context: Any) -> Any:
    return (yield context.wait_for_external_event("Approval", SECOND * 60))


def monitor(context: Any) -> Any:
    pause = SECOND
    while (yield context.call_activity("Poll")) != "ready":
        yield context.create_timer(pause)
        pause *= 2
    context.set_custom_status("ready")


def one_way_messages(context: Any) -> Any:
    context.send_event("other", "Ping", {"from": context.instance_id})
    context.call_activity("Forgotten")
    yield context.call_activity("Awaited")


def suspended_and_resumed(context: Any) -> Any:
    return (yield context.wait_for_external_event("Go"))


def terminated(context: Any) -> Any:
    yield context.call_activity("Endless")


def unhandled_failure(context: Any) -> Any:
    yield context.call_activity("A")


def own_failure(context: Any) -> Any:
    yield context.create_timer(SECOND)
    raise LookupError("not found")


def ids_and_times(context: Any) -> Any:
    first = context.new_uuid()
    yield context.create_timer(context.current_utc_datetime + SECOND)
    return [first, context.new_uuid(), context.current_utc_datetime.isoformat()]


def still_running(context: Any) -> Any:
    yield context.task_any([context.call_activity("A"), context.wait_for_external_event("B"), context.create_timer(T0)])
    yield context.call_activity("C")


def failure_caught_by_a_base(context: Any) -> Any:
    try:
        yield context.call_activity("Parse")
    except ValueError as error:
        return str(error)


def nested_fan_in_with_failures(context: Any) -> Any:
    calls = [context.call_activity("A", number) for number in range(3)]
    yield context.task_all([context.task_all(calls[:2]), calls[2]])


def two_of_two(context: Any) -> Any:
    both = [context.wait_for_external_event("Approval", 60), context.wait_for_external_event("Approval", 60)]
    return (yield context.task_all(both))


async def exit_in_the_body(context: Any) -> Any:
    await context.call_activity("A")
    raise SystemExit(4)


def child_after_child(context: Any) -> Any:
    first = yield context.call_sub_orchestrator("Child", 1, version="2")
    return (yield context.call_sub_orchestrator("Child", first))


SCENARIOS = [
    Scenario(hello_sequence, [[done(1, "Hello Tokyo!")], [done(2, "Hello Seattle!")]]),
    Scenario(hello_coroutine, [[done(1, "Hello Tokyo!")], [done(2, "Hello Seattle!")]]),
    Scenario(plain_function, [], 21),
    Scenario(fan_out, [[done(3, 4), done(1, 0)], [done(4, 9)], [done(2, 1)]], 4),
    Scenario(fan_out_with_failures, [[failed(3, "late")], [done(1), failed(2, "early")]]),
    Scenario(race_won_by_the_activity, [[done(1, "quick")]]),
    Scenario(race_won_by_the_timer, [[fired(2, 30)], [done(1, "slow"), done(3, "gave up")]]),
    Scenario(
        retry_that_succeeds,
        [
            [failed(1, "first", attempt=1)],
            [fired(1, 6, attempt=1)],
            [failed(1, "second", attempt=2)],
            [fired(1, 13, attempt=2)],
            [done(1, "third", attempt=3)],
        ],
    ),
    Scenario(retry_that_gives_up, [[failed(1, attempt=1)], [fired(1, 6, attempt=1)], [failed(1, attempt=2)]]),
    Scenario(retried_children, [[child_failed(1, attempt=1)], [fired(1, 2, attempt=1)], [child_done(1, attempt=2)]]),
    Scenario(child_with_an_id, [[child_done(1, "out")]]),
    Scenario(child_that_fails, [[child_failed(1, KeyError("gone"))]]),
    Scenario(events_early_and_late, [[raised("go", 1), raised("x")], [done(1)], [raised("Go"), raised("stop")]]),
    Scenario(event_that_times_out, [[fired(1, 60)], [fired(2, 121)]]),
    Scenario(event_in_time, [[raised("approval", {"ok": True})]]),
    Scenario(monitor, [[done(1, "no")], [fired(2, 2)], [done(3, "no")], [fired(4, 6)], [done(5, "ready")]]),
    Scenario(one_way_messages, [[done(3)]]),
    Scenario(
        suspended_and_resumed,
        [
            [ExecutionSuspended(timestamp=T0, reason="wait")],
            [ExecutionResumed(timestamp=T0, reason="go on"), raised("Go", 1)],
        ],
    ),
    Scenario(terminated, [[raised("Late"), ExecutionTerminated(timestamp=T0, input='"enough"')]]),
    Scenario(unhandled_failure, [[failed(1, TimeoutError("too slow"))]]),
    Scenario(own_failure, [[fired(1, 1)]]),
    Scenario(ids_and_times, [[fired(1, 1)]]),
    Scenario(still_running, [[raised("B", None)]]),
    Scenario(failure_caught_by_a_base, [[failed(1, json.JSONDecodeError("bad", "{", 0))]]),
    Scenario(nested_fan_in_with_failures, [[failed(2, "two"), failed(3, "three")], [failed(1, "one")]]),
    Scenario(two_of_two, [[raised("approval", "Ana")], [raised("Approval", "Ben")]]),
    Scenario(exit_in_the_body, [[done(1)]]),
    Scenario(child_after_child, [[child_done(1, 2)], [child_done(2, 3)]]),
]


if __name__ == "__main__":
    for new in SCENARIOS:
        if not (DIRECTORY / f"{new.name}.json").exists():
            write(new)
            print(f"{new.name}: kept")
