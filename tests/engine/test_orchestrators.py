"""What orchestrators may be, see and do wrong (BAD-60, BAD-62)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import timedelta
from typing import Any, cast

import pytest

from orchestrations.engine.events import EventRaised, ExecutionStarted, ParentInstance
from orchestrations.engine.payloads import Limits
from orchestrations.engine.results import TurnLimits
from orchestrations.engine.state import Status
from orchestrations.engine.turn import Turn
from tests.builders import T0, Play, body, done, fired, raised, run, started

SECOND = timedelta(seconds=1)


# --- ORC-1, ORC-2: forms


def generator(context: Any) -> Any:
    return [(yield context.call_activity("A")), (yield context.call_activity("B"))]


async def coroutine(context: Any) -> Any:
    return [await context.call_activity("A"), await context.call_activity("B")]


@pytest.mark.parametrize("function", [generator, coroutine])
def test_generator_and_coroutine_are_driven_alike(function: Any) -> None:
    play = run(function, done(1, 1), done(2, 2))
    assert play.output == [1, 2]


def test_plain_function_completes_with_its_value() -> None:
    assert run(lambda context: {"ok": True}).output == {"ok": True}


def test_plain_function_may_continue_as_new() -> None:
    plan = run(lambda context: context.continue_as_new(1)).last
    assert plan.next_execution == "next"


def test_orchestrator_may_take_its_input() -> None:
    assert run(lambda context, value: value, input_={"a": 1}).output == {"a": 1}


def test_input_that_is_absent_is_none() -> None:
    """SRF-2."""
    assert run(lambda context, value: [value, context.get_input()]).output == [None, None]


def test_helpers_compose() -> None:
    def helper(context: Any) -> Any:
        return (yield context.call_activity("A"))

    def f(context: Any) -> Any:
        return (yield from helper(context))

    assert run(f, done(1, 7)).output == 7


def test_values_are_seen_as_they_are_stored_from_the_first_run_on() -> None:
    """SRF-3: a tuple arrives as a list."""

    def f(context: Any) -> Any:
        return (yield context.call_activity("A", (1, 2)))

    play = run(f, done(1, (3, 4)))
    assert play.output == [3, 4]
    assert any(getattr(e, "input", None) == "[1,2]" for e in play.history)


@pytest.mark.parametrize("call", [lambda: asyncio.sleep(1), lambda: asyncio.to_thread(print)], ids=["sleep", "thread"])
def test_awaiting_asyncio_says_what_to_do_instead(call: Any) -> None:
    """ORC-2."""

    async def f(context: Any) -> Any:
        await call()

    failure = run(f).last.failure
    assert failure is not None
    assert failure.error_type == "builtins.TypeError"
    assert failure.message == (
        "An orchestrator may only yield or await tasks made by its context, not what needs an event loop, as all of "
        "asyncio does. Use context.create_timer to wait, and move other work into an activity."
    )
    assert "await call()" in failure.stack_trace


@pytest.mark.parametrize("thing", [None, 5, [], "A", object()], ids=lambda thing: type(thing).__name__)
def test_yielding_something_else_raises_at_that_line_and_says_what_to_do(thing: Any) -> None:
    """ORC-2, BAD-62."""

    def f(context: Any) -> Any:
        try:
            yield thing
        except TypeError as error:
            return str(error)

    advice = "Wait for several tasks by task_all" if thing == [] else "Move other work into an activity."
    assert f"not {type(thing).__name__}. {advice}" in run(f).output


def test_awaiting_a_foreign_awaitable_fails_the_instance_and_names_the_line() -> None:
    """BAD-62."""

    class Foreign:
        def __await__(self) -> Any:
            yield "foreign"

    async def f(context: Any) -> Any:
        await Foreign()

    failure = run(f).last.failure
    assert failure is not None
    assert (failure.error_type, "await Foreign()" in failure.stack_trace) == ("builtins.TypeError", True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "object at $"),
        ({"a": [1, {2}]}, r"set at $.a[1]"),
        (b"x", "bytes at $"),
        (float("nan"), "the number nan at $"),
        (T0, "datetime at $"),
        ("\ud800", "a lone surrogate at $"),
        ({(1, 2): 3}, "a key of type tuple at $"),
        ("a\x00b", "a NUL character at $"),
    ],
)
def test_result_that_is_no_json_fails_the_instance_with_its_path(value: Any, words: str) -> None:
    """ORC-7, BAD-60, BAD-62."""
    plan = run(lambda context: value).last
    assert plan.status is Status.FAILED
    assert plan.failure is not None
    assert words in plan.failure.message


def test_input_that_is_no_json_raises_at_the_call() -> None:
    """BAD-60."""

    def f(context: Any) -> Any:
        try:
            context.call_activity("A", {1, 2})
        except Exception as error:
            return str(error)
        yield

    assert run(f).output == "The input of activity 'A' is not JSON: set at $."


def test_too_large_or_deep_input_raises_at_the_call() -> None:
    limits = TurnLimits(payload=Limits(bytes=100, depth=3))

    def f(context: Any) -> Any:
        found = []
        for value in ("x" * 200, [[[[1]]]]):
            try:
                context.call_activity("A", value)
            except Exception as error:
                found.append(getattr(error, "code", ""))
        yield context.task_all([])
        return found

    play = Play(f, limits=limits)
    play.start()
    assert play.output == ["payload.too-large", "result.not-serializable"]
    assert play.last.activities == []


# --- ORC-4: the sealed context


def test_finally_of_a_closed_body_has_no_effect() -> None:
    left = []

    def f(context: Any) -> Any:
        try:
            yield context.wait_for_external_event("E")
        finally:
            left.append("left")
            context.call_activity("A")
            context.call_sub_orchestrator("C")
            context.send_event("other", "E")
            context.create_timer(SECOND).cancel()
            context.wait_for_external_event("E").cancel()
            context.set_custom_status("closed")
            context.continue_as_new(1)
            yield context.call_activity("B")

    play = Play(f)
    play.start()
    play.turn.close()
    assert left == ["left"]
    assert play.turn.is_sealed
    result = play.turn.advance([], T0 + SECOND)
    assert (result.scheduled, result.custom_status, result.completion) == ([], None, None)


def test_closing_twice_and_closing_an_ended_body_is_harmless() -> None:
    play = run(generator, done(1), done(2))
    play.turn.close()
    play.turn.close()


# --- TIM: time, ids, log


def test_time_is_the_turns_and_constant_within_it() -> None:
    """TIM-1."""

    def f(context: Any) -> Any:
        times = [context.current_utc_datetime]
        yield context.call_activity("A")
        times += [context.current_utc_datetime, context.current_utc_datetime]
        return [t.isoformat() for t in times]

    assert run(f, done(1)).output == ["2026-03-01T08:00:00+00:00", *["2026-03-01T08:00:01+00:00"] * 2]


def test_time_never_goes_back() -> None:
    """TIM-1: whatever a worker's clock says."""

    def f(context: Any) -> Any:
        first = context.current_utc_datetime
        yield context.call_activity("A")
        return context.current_utc_datetime >= first

    play = Play(f)
    play.start()
    play.go(done(1), after=-3600)
    assert play.output is True
    assert play.history[-1].timestamp == T0


def test_uuids_differ_within_an_instance_and_are_the_same_on_replay() -> None:
    """TIM-3."""

    def f(context: Any) -> Any:
        found = [context.new_uuid(), context.new_uuid()]
        yield context.call_activity("A")
        return [*found, context.new_uuid()]

    live = run(f, done(1)).output
    replayed = Play(f, is_live=False)
    replayed.start()
    replayed.go(done(1))
    assert live == replayed.output
    assert len(set(live)) == 3


def test_uuid_follows_the_published_recipe() -> None:
    """TIM-3."""
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")
    expected = str(uuid.uuid5(namespace, "i_2026-03-01T08:00:00.000000Z_0"))
    assert run(lambda context: context.new_uuid()).output == expected


def test_is_replaying_while_committed_history_is_applied_and_the_log_is_silent_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """TIM-4."""
    seen = []

    def f(context: Any) -> Any:
        for step in range(2):
            seen.append((step, context.is_replaying))
            context.logger.warning("step %d", step)
            yield context.call_activity("A")

    with caplog.at_level(logging.WARNING):
        play = Play(f, is_live=False)
        play.start()
        play.go(done(1))
        play.go(done(2))
    assert seen == [(0, False), (0, True), (1, False), (0, True), (1, True)]
    assert [record.message for record in caplog.records] == ["step 0", "step 1"]
    assert {getattr(record, "durable_instance", None) for record in caplog.records} == {"i"}


def test_facts_of_the_start_are_shown() -> None:
    parent = ParentInstance("P", "parent", "pe", 3)

    def f(context: Any) -> Any:
        return [context.instance_id, context.parent_instance_id, context.version, dict(context.tags)]

    play = Play(f, parent=parent, version="1.2")
    play.start()
    assert play.output == ["i", "parent", "1.2", {}]
    assert run(lambda context: context.parent_instance_id).output is None


# --- CST


def test_last_custom_status_of_a_turn_counts() -> None:
    """CST-1."""

    def f(context: Any) -> Any:
        context.set_custom_status("first")
        context.set_custom_status({"n": 2})
        yield context.call_activity("A")
        return context.custom_status

    play = run(f)
    assert (play.last.custom_status, play.last.custom_status_changed) == ('{"n":2}', True)
    play.go(done(1))
    assert (play.output, play.last.custom_status_changed) == ({"n": 2}, False)


def test_too_large_a_custom_status_raises_in_the_body() -> None:
    """CST-1."""

    def f(context: Any) -> Any:
        try:
            context.set_custom_status("x" * 20_000)
        except Exception as error:
            return getattr(error, "code", None)

    assert run(f).output == "payload.too-large"


# --- CAN


def again(context: Any) -> Any:
    yield context.call_activity("A")
    context.call_activity("Before")
    context.continue_as_new({"round": 2})
    context.call_activity("After")
    context.set_custom_status("after")
    yield context.call_activity("Never")
    raise AssertionError("it goes on after the end")


def test_continue_as_new_ends_the_execution_at_the_next_yield() -> None:
    """CAN-1: what was asked for before it is carried out, calls after it have no effect."""
    plan = run(again, done(1)).last
    assert [e.name for e in plan.activities] == ["Before"]
    assert (plan.status, plan.next_execution, plan.custom_status_changed) == (Status.RUNNING, "next", False)
    begin = plan.next_messages[0]
    assert isinstance(begin, ExecutionStarted)
    assert (begin.input, begin.execution_id, begin.instance_id, begin.name) == ('{"round":2}', "next", "i", "again")


def test_exception_after_continue_as_new_changes_nothing() -> None:
    """CAN-1."""

    def f(context: Any) -> Any:
        context.continue_as_new(1)
        if context.instance_id == "i":
            raise RuntimeError
        yield context.task_all([])

    plan = run(f).last
    assert (plan.next_execution, plan.failure) == ("next", None)


def test_second_continue_as_new_has_no_effect() -> None:
    """CAN-1."""

    def f(context: Any) -> Any:
        context.continue_as_new(1)
        context.continue_as_new(2)
        yield

    assert getattr(run(f).last.next_messages[0], "input", None) == "1"


@pytest.mark.parametrize(("preserve", "expected"), [(True, [1, 2, 3, 4]), (False, [4])])
def test_events_that_nobody_took_are_carried_in_order_of_arrival(preserve: bool, expected: list[int]) -> None:
    """CAN-2: also across names, and where their timestamps are alike; those after the decision always go along."""

    def f(context: Any) -> Any:
        yield context.call_activity("A")
        context.continue_as_new(None, preserve)

    play = Play(f)
    play.start()
    play.go(raised("X", 1), raised("Y", 2), raised("X", 3), after=0)
    plan = play.go(done(1), raised("A", 4), after=0)
    carried = [int(e.input or "") for e in plan.next_messages if isinstance(e, EventRaised)]
    assert carried == expected


def test_custom_status_is_kept_by_the_next_execution_until_it_sets_another() -> None:
    """CST-1."""

    def f(context: Any, number: int) -> Any:
        seen = context.custom_status
        if number == 1:
            context.set_custom_status({"step": 1})
            context.continue_as_new(2)
            return None
        yield context.call_activity("A")
        return [seen, context.custom_status]

    first = Play(f, 1).start()
    second = Play(f, 2)
    second.begin = cast(ExecutionStarted, first.next_messages[0])
    assert not second.start().custom_status_changed
    assert not second.go(done(1)).custom_status_changed
    assert second.output == [{"step": 1}, {"step": 1}]
    third = Turn(second.body)
    third.replay(second.history)
    assert third.execution.custom_status == '{"step":1}'


def test_input_that_continue_as_new_does_not_give_is_absent() -> None:
    """SRF-2."""
    begin = Play(lambda context: context.continue_as_new(None)).start().next_messages[0]
    assert getattr(begin, "input", "") is None


def test_version_is_kept_unless_a_new_one_is_given() -> None:
    """CAN-1."""
    kept = Play(lambda context: context.continue_as_new(1), version="1")
    changed = Play(lambda context: context.continue_as_new(1, new_version="2"), version="1")
    assert (kept.start().next_version, changed.start().next_version) == ("1", "2")


def test_wait_until_the_timer_then_start_over_is_an_endless_life() -> None:
    def f(context: Any, count: int) -> Any:
        yield context.create_timer(SECOND)
        context.continue_as_new(count + 1)

    count = 0
    for _ in range(3):
        play = Play(f, count)
        play.start()
        count = int(getattr(play.go(fired(1, 1)).next_messages[0], "input", ""))
    assert count == 3


def test_orchestrator_that_was_never_started_waits_for_nothing() -> None:
    turn = Turn(body(generator))
    assert turn.waiting() == []
    turn.advance([started()], T0)
    assert [w["name"] for w in turn.waiting()] == ["A"]
