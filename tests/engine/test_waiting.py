"""What an instance's row shows of what its body waits for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrations.engine.retries import RetryOptions
from tests.builders import Play, done, failed, raised, run

SECOND = timedelta(seconds=1)


def shown(play: Play) -> list[tuple[str, Any]]:
    """Return kind and name or count of what is shown."""
    return [(wait["kind"], wait.get("name", wait.get("count"))) for wait in play.turn.waiting()]


def test_wait_for_an_event_is_shown_however_many_activities_stand_before_it() -> None:
    def f(context: Any) -> Any:
        activities = [context.call_activity("A", n) for n in range(25)]
        yield context.task_any([*activities, context.wait_for_external_event("Approval")])

    found = shown(run(f))
    assert found[0] == ("event", "Approval")
    assert found[-1] == ("more", 6)
    assert len(found) == 21


@pytest.mark.parametrize("width", [1, 20, 21, 500])
def test_what_is_not_described_is_counted(width: int) -> None:
    def f(context: Any) -> Any:
        yield context.task_all([context.call_activity("A", n) for n in range(width)])

    play = run(f)
    for left in range(width, max(0, width - 3), -1):
        found = play.turn.waiting()
        described = [wait for wait in found if wait["kind"] != "more"]
        more = sum(wait["count"] for wait in found if wait["kind"] == "more")
        assert (len(described), len(described) + more) == (min(left, 20), left)
        play.go(done(left, None))


def test_count_looks_into_nested_tasks_that_have_not_settled() -> None:
    def f(context: Any) -> Any:
        calls = [context.call_activity("A", n) for n in range(60)]
        inner = [context.task_all(calls[:30]), context.task_any(calls[30:40])]
        waits = context.task_all([context.wait_for_external_event("E"), context.create_timer(SECOND)])
        yield context.task_all([*inner, waits, *calls[40:]])

    play = run(f)
    assert shown(play)[-1] == ("more", 62 - 20)
    play.go(done(31))  # settles the race of ten
    assert shown(play)[-1] == ("more", 52 - 20)
    play.go(raised("E"), done(1), done(60))
    assert shown(play)[-1] == ("more", 49 - 20)


def test_a_hundred_waits_for_events_are_shown_and_the_rest_counted() -> None:
    def f(context: Any) -> Any:
        waits = [context.wait_for_external_event(f"E{n}") for n in range(130)]
        yield context.task_all([context.call_activity("A"), *waits])

    found = shown(run(f))
    assert found[:2] == [("event", "E0"), ("event", "E1")]
    assert (len(found), found[-1]) == (101, ("more", 31))


def test_waits_of_one_name_are_told_apart_by_whose_turn_it_is() -> None:
    """EVT-2: the ordinal is that of the wait which the next event goes to."""

    def f(context: Any) -> Any:
        yield context.wait_for_external_event("Other")
        both = [context.wait_for_external_event("Approval"), context.wait_for_external_event("approval")]
        yield context.task_all(both)
        yield context.wait_for_external_event("APPROVAL")

    play = run(f, raised("Other"))
    assert [wait["ordinal"] for wait in play.turn.waiting()] == [2, 2]
    play.go(raised("approval"))
    assert [wait["ordinal"] for wait in play.turn.waiting()] == [3]
    play.go(raised("approval"))
    assert [wait["ordinal"] for wait in play.turn.waiting()] == [4]
    assert play.replayed().waiting() == play.turn.waiting()


def test_wait_that_the_body_does_not_await_is_served_first_and_says_so() -> None:
    """EVT-2."""

    def f(context: Any) -> Any:
        context.wait_for_external_event("Approval")
        yield context.wait_for_external_event("Approval")

    play = run(f)
    assert [wait["ordinal"] for wait in play.turn.waiting()] == [1]
    play.go(raised("Approval"))
    assert [wait["ordinal"] for wait in play.turn.waiting()] == [2]


def test_back_off_is_one_task() -> None:
    def f(context: Any) -> Any:
        calls = [context.call_activity("A", retry=RetryOptions(1, 5)) for _ in range(2)]
        yield context.task_all(calls)

    play = run(f, failed(1, attempt=1))
    assert [(wait["kind"], wait.get("count", 1)) for wait in play.turn.waiting()] == [("retry", 1), ("activity", 1)]


def test_settled_race_is_not_remembered_by_the_tasks_that_lost_it() -> None:
    def f(context: Any) -> Any:
        slow = context.call_activity("Slow")
        for _ in range(50):
            yield context.task_any([slow, context.wait_for_external_event("E")])
        return len(slow._parents)

    assert run(f, *[raised("E")] * 50).output == 0
