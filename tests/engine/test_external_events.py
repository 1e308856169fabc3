"""External events: early, late, in any case, with and without a deadline (EVT-1…4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrations.engine.failures import EventTimeoutError, TaskCancelledError
from orchestrations.engine.state import Status
from tests.builders import NOTHING, T0, Play, done, fired, raised, run

SECOND = timedelta(seconds=1)


def collecting(count: int) -> Any:
    """Return an orchestrator that awaits so many events, one after another."""

    def f(context: Any) -> Any:
        found = []
        for _ in range(count):
            found.append((yield context.wait_for_external_event("E")))
        return found

    return f


def test_event_raised_before_the_wait_is_kept() -> None:
    """EVT-3."""

    def f(context: Any) -> Any:
        yield context.call_activity("A")
        return (yield context.wait_for_external_event("E"))

    assert run(f, raised("E", "early"), done(1)).output == "early"


@pytest.mark.parametrize("early", range(5))
@pytest.mark.parametrize("count", [1, 4])
def test_body_that_awaits_k_events_ends_once_k_were_raised_however_early(count: int, early: int) -> None:
    """The oracle that an engine with a lossy buffer fails, though it is consistent with itself."""
    early = min(early, count)
    play = Play(collecting(count))
    play.start(*(raised("E", number) for number in range(early)))
    for number in range(early, count):
        assert play.last.status is Status.RUNNING
        play.go(raised("E", number))
    assert play.output == list(range(count))


def test_events_of_one_turn_are_all_kept_in_order() -> None:
    """EVT-2."""
    play = Play(collecting(3))
    play.start()
    play.go(raised("E", 1), raised("E", 2), raised("E", 3))
    assert play.output == [1, 2, 3]


@pytest.mark.parametrize(("wait", "name"), [("Approved", "aPPROVED"), ("straße", "STRASSE"), ("Ünlü", "üNLÜ")])
def test_names_match_whatever_their_case(wait: str, name: str) -> None:
    """EVT-1."""

    def f(context: Any) -> Any:
        return (yield context.wait_for_external_event(wait))

    play = run(f, raised(name, 1))
    assert play.output == 1
    assert any(getattr(event, "name", None) == name for event in play.history)


def test_event_of_another_name_is_kept_and_changes_nothing() -> None:
    play = run(collecting(1), raised("Other", 1))
    assert play.last.status is Status.RUNNING
    assert play.asked == []


@pytest.mark.parametrize(("payload", "expected"), [(NOTHING, None), (None, None), ({"a": [1]}, {"a": [1]}), (0, 0)])
def test_payload_is_any_json_or_none(payload: Any, expected: Any) -> None:
    """EVT-1, SRF-2."""
    assert run(collecting(1), raised("E", payload)).output == [expected]


def test_open_waits_of_one_name_are_served_in_turn_one_event_each() -> None:
    """EVT-2."""

    def f(context: Any) -> Any:
        waits = [context.wait_for_external_event("E") for _ in range(3)]
        return (yield context.task_all(waits))

    play = run(f, raised("e", "first"), raised("E", "second"))
    assert play.last.status is Status.RUNNING
    play.go(raised("E", "third"))
    assert play.output == ["first", "second", "third"]


def test_cancelled_wait_takes_nothing() -> None:
    """EVT-3."""

    def f(context: Any) -> Any:
        first, second = context.wait_for_external_event("E"), context.wait_for_external_event("E")
        answers = [first.cancel(), first.cancel()]
        got = yield second
        try:
            yield first
        except TaskCancelledError:
            return [*answers, got]

    assert run(f, raised("E", "for the second")).output == [True, False, "for the second"]


def waiting(default: Any = NOTHING) -> Any:
    """Return an orchestrator that awaits an event for ten seconds."""

    def f(context: Any) -> Any:
        extra = {} if default is NOTHING else {"default": default}
        try:
            got = yield context.wait_for_external_event("E", SECOND * 10, **extra)
        except EventTimeoutError as error:
            return [str(error), isinstance(error, TimeoutError), error.code]
        later = yield context.wait_for_external_event("E")
        return [got, later]

    return f


def test_wait_that_times_out_raises_and_says_until_when() -> None:
    """EVT-4."""
    play = run(waiting(), fired(1, 10))
    assert play.output == ["No event 'E' arrived by 2026-03-01T08:00:10.0000000Z.", True, "event.timeout"]


@pytest.mark.parametrize("default", [None, 0, "none"])
def test_wait_that_times_out_gives_its_default(default: Any) -> None:
    """EVT-4: None is a default like any other."""
    play = run(waiting(default), fired(1, 10), raised("E", "next"))
    assert play.output == [default, "next"]


def test_wait_that_timed_out_takes_nothing() -> None:
    """EVT-3: the event that comes after it goes to the next wait."""
    play = Play(waiting("late"))
    play.start()
    play.go(fired(1, 10), raised("E", "mine"))
    assert play.output == ["late", "mine"]


def test_event_in_time_withdraws_the_timer() -> None:
    """EVT-4."""
    play = run(waiting(), raised("E", 1))
    assert play.last.withdrawn_timers == [1]
    play.go(fired(1, 10))
    assert [e.kind for e in play.last.events] == ["OrchestratorStarted", "OrchestratorCompleted"]


def test_event_and_timeout_in_one_turn_go_by_the_order_in_the_history() -> None:
    """EVT-4."""
    play = Play(waiting("late"))
    play.start()
    play.go(raised("E", "in time"), fired(1, 10), raised("E", "x"))
    assert play.output == ["in time", "x"]


def test_wait_for_an_event_that_is_there_asks_for_no_timer() -> None:
    """EVT-3, EVT-4."""

    def f(context: Any) -> Any:
        yield context.call_activity("A")
        return (yield context.wait_for_external_event("E", SECOND))

    late = run(f, raised("E", 5), done(1))
    assert late.output == 5
    assert "TimerCreated" not in [e.kind for e in late.history]


def test_deadline_may_be_an_instant() -> None:
    def f(context: Any) -> Any:
        yield context.wait_for_external_event("E", T0 + SECOND * 3)

    assert run(f).last.timers[0].fire_at == T0 + SECOND * 3


def test_events_that_nobody_took_stay_in_the_history() -> None:
    """EVT-7."""
    play = Play(collecting(1))
    play.start(raised("Other", 1))
    play.go(raised("E", 1), raised("E", 2))
    kinds = [e.kind for e in play.history]
    assert (play.last.status, kinds.count("EventRaised")) == (Status.COMPLETED, 3)


def test_event_is_sent_with_its_data_and_target() -> None:
    """EVT-6 begins here: the sender asks, and does not wait."""

    def f(context: Any) -> Any:
        context.send_event("other", "E", {"a": 1})
        return "sent"

    plan = run(f).last
    assert [(e.instance_id, e.name, e.input) for e in plan.sends] == [("other", "E", '{"a":1}')]


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "\ud800"])
def test_bad_event_name_is_refused_in_the_body(name: str) -> None:
    def f(context: Any) -> Any:
        yield context.wait_for_external_event(name)

    failure = run(f).last.failure
    assert failure is not None
    assert failure.error_type.endswith("InvalidError")
