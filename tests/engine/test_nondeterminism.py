"""Changed code is noticed, and told in words that help (NDT-1…4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrations.engine.events import ExecutionRewound, ExecutionTerminated, HistoryEvent
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.state import Status
from orchestrations.engine.turn import Turn
from orchestrations.errors import NondeterminismError
from tests.builders import T0, HistoryBuilder, Play, activity, body, child, done, ended, failed, fired, raised, timer

SECOND = timedelta(seconds=1)


def mismatch(function: Callable[..., Any], events: list[HistoryEvent]) -> NondeterminismError:
    """Replay and return the mismatch."""
    with pytest.raises(NondeterminismError) as caught:
        Turn(body(function)).replay(events)
    return caught.value


def asks_a(context: Any) -> Any:
    yield context.call_activity("A")


def asks_a_then_b(context: Any) -> Any:
    yield context.call_activity("A")
    yield context.call_activity("B")


def sends(context: Any) -> Any:
    context.send_event("other", "E")
    yield context.wait_for_external_event("X")


def sleeps(context: Any) -> Any:
    yield context.create_timer(SECOND)


def starts_child(context: Any) -> Any:
    yield context.call_sub_orchestrator("C")


def starts_named_child(context: Any) -> Any:
    yield context.call_sub_orchestrator("C", None, "mine")


def waits(context: Any) -> Any:
    yield context.wait_for_external_event("E")


def ends(context: Any) -> Any:
    return None


def raises(context: Any) -> Any:
    raise ValueError("changed")


HELD = HistoryBuilder().turn(activity(1, "A")).events


@pytest.mark.parametrize(
    ("function", "expected", "found"),
    [
        (sleeps, "activity 'A'", "a timer"),
        (starts_child, "activity 'A'", "sub-orchestration 'C'"),
        (starts_named_child, "activity 'A'", "sub-orchestration 'C' (instance ID 'mine')"),
        (sends, "activity 'A'", "event 'E' for instance 'other'"),
        (waits, "activity 'A'", "nothing (it waits for event 'E')"),
        (ends, "activity 'A'", "the end of the orchestrator"),
    ],
)
def test_message_says_what_the_history_holds_and_what_the_code_asked_for(
    function: Callable[..., Any], expected: str, found: str
) -> None:
    """NDT-4."""
    error = mismatch(function, HELD)
    assert (error.sequence, error.expected, error.found) == (1, expected, found)


def test_message_has_the_exact_form() -> None:
    """NDT-3."""
    assert mismatch(sleeps, HELD).message == (
        "Non-deterministic orchestrator 'f': at sequence number 1 the history holds activity 'A', but the code asked "
        "for a timer. Either the code was changed after this instance had started (deploy the code it started with, or "
        "give the change a new version), or the code decides by something that is not replayed (clock, random value, "
        "environment, I/O, order of a set). Nothing was written; the instance continues by itself when matching code "
        "is deployed."
    )


def test_exception_of_the_body_is_part_of_the_message_with_its_trace() -> None:
    """NDT-2."""
    found = mismatch(raises, HELD).found
    assert found.startswith("nothing (it raised ValueError: changed")
    assert "in raises" in found


def test_other_name_is_a_mismatch_but_other_input_is_not() -> None:
    """NDT-1."""
    events = HistoryBuilder().turn(activity(1, "A", {"old": True})).events

    def other_input(context: Any) -> Any:
        yield context.call_activity("A", {"new": True})

    def other_name(context: Any) -> Any:
        yield context.call_activity("a")

    Turn(body(other_input)).replay(events)
    assert mismatch(other_name, events).found == "activity 'a'"


def test_other_fire_time_is_no_mismatch() -> None:
    """NDT-1."""
    Turn(body(sleeps)).replay(HistoryBuilder().turn(timer(1, 99)).events)


@pytest.mark.parametrize("is_named", [True, False])
def test_id_of_a_child_counts_only_where_the_code_gave_it(is_named: bool) -> None:
    """NDT-1."""
    events = HistoryBuilder().turn(child(1, "C", "another", is_named=is_named)).events
    if is_named:
        assert mismatch(starts_named_child, events).expected == "sub-orchestration 'C' (instance ID 'another')"
    else:
        Turn(body(starts_child)).replay(events)


def test_code_that_asks_for_more_in_a_committed_turn_is_noticed() -> None:
    """NDT-2."""

    def more(context: Any) -> Any:
        yield context.task_all([context.call_activity("A"), context.call_activity("Added")])

    error = mismatch(more, HELD)
    assert (error.sequence, error.expected, error.found) == (2, "nothing", "activity 'Added'")


def test_code_that_ends_where_it_went_on_is_noticed() -> None:
    """NDT-2."""
    events = HistoryBuilder().turn(activity(1, "A")).turn(done(1)).turn(raised("E")).events
    error = mismatch(asks_a, events)
    assert (error.expected, error.found) == ("nothing (it goes on)", "the end of the orchestrator")


def test_code_that_goes_on_where_it_ended_is_noticed() -> None:
    """TST-7: a completed instance must fail replay too."""
    events = HistoryBuilder().turn(activity(1, "A")).turn(done(1), ended()).events
    Turn(body(asks_a)).replay(events)
    error = mismatch(asks_a_then_b, events)
    assert (error.sequence, error.expected, error.found) == (
        3,
        "the end of the orchestrator",
        "nothing (it waits for activity 'B')",
    )


def test_activity_added_beside_the_end_of_a_completed_instance_is_noticed() -> None:
    def more(context: Any) -> Any:
        yield context.call_activity("A")
        context.call_activity("Added")

    error = mismatch(more, HistoryBuilder().turn(activity(1, "A")).turn(done(1), ended()).events)
    assert (error.expected, error.found) == ("nothing", "activity 'Added'")


def test_timer_that_the_end_made_pointless_is_no_mismatch() -> None:
    """ORC-6: it was never written."""

    def with_timer(context: Any) -> Any:
        yield context.call_activity("A")
        context.create_timer(SECOND)

    events = HistoryBuilder().turn(activity(1, "A")).turn(done(1), ended()).events
    Turn(body(with_timer)).replay(events)


def test_end_may_stand_behind_the_last_turn() -> None:
    """HIS-4: as another backend writes it."""
    events = HistoryBuilder().turn(activity(1, "A")).turn(done(1)).events
    turn = Turn(body(asks_a))
    turn.replay([*events, ended()])
    assert turn.completion is not None
    assert mismatch(asks_a_then_b, [*events, ended()]).expected == "the end of the orchestrator"


def test_terminated_history_replays_whatever_the_code_would_have_asked_for() -> None:
    """NDT-7: a termination never needed the code."""
    terminated = ExecutionTerminated(timestamp=T0, input='"why"')
    events = HistoryBuilder().turn(activity(1, "A")).turn(raised("E"), terminated, ended("why", Status.TERMINATED))
    turn = Turn(body(asks_a_then_b))
    turn.replay(events.events)
    assert turn.waiting() == []


def test_mismatch_in_new_messages_is_noticed_before_anything_is_returned() -> None:
    """NDT-5: the refused turn writes nothing."""
    play = Play(asks_a_then_b)
    play.start()
    play.go(done(1))
    turn = Turn(body(sleeps))
    with pytest.raises(NondeterminismError):
        turn.replay(play.history)


def test_reordered_activities_are_noticed() -> None:
    events = HistoryBuilder().turn(activity(1, "A"), activity(2, "B")).events

    def swapped(context: Any) -> Any:
        yield context.task_all([context.call_activity("B"), context.call_activity("A")])

    assert mismatch(swapped, events).found == "activity 'B'"


def test_retry_that_was_removed_is_noticed() -> None:
    def retried(context: Any) -> Any:
        yield context.call_activity("A", retry=RetryOptions(1, 3))

    play = Play(retried)
    play.start()
    play.go(failed(1, attempt=1))
    play.go(fired(1, attempt=1))
    error = mismatch(asks_a, play.history)
    assert (error.sequence, error.expected) == (1, "a timer")


# --- rewound histories: what a rewind will write


def _rewound(*undone: int) -> ExecutionRewound:
    return ExecutionRewound(timestamp=T0, reason="again", undone=undone)


def test_chain_that_a_rewind_took_out_may_be_asked_for_where_it_is_missed() -> None:
    """RWD-3: its rows have left the history, and the numbers of the others stay."""

    def f(context: Any) -> Any:
        both = [context.call_activity("A"), context.call_activity("B")]
        yield context.task_all(both)
        return (yield context.call_activity("C"))

    kept = HistoryBuilder().turn(activity(1, "A")).turn(done(1)).turn(_rewound(2)).events
    turn = Turn(body(f))
    turn.replay(kept)
    assert [wait["sequence"] for wait in turn.waiting()] == [2]
    # the chain runs again: its new row comes later than its number
    again = HistoryBuilder().turn(activity(1, "A")).turn(done(1)).turn(_rewound(2), activity(2, "B")).turn(done(2, 5))
    turn = Turn(body(f))
    turn.replay([*again.events[:-1], activity(3, "C"), again.events[-1]])
    assert [wait["name"] for wait in turn.waiting()] == ["C"]


@pytest.mark.parametrize("undone", [(), (1,), (3,)])
def test_rewind_of_one_chain_excuses_no_other(undone: tuple[int, ...]) -> None:
    """NDT-2: code that was changed is noticed in a rewound history, too."""

    def more(context: Any) -> Any:
        yield context.task_all([context.call_activity("A"), context.call_activity("Added")])

    error = mismatch(more, HistoryBuilder().turn(activity(1, "A")).turn(_rewound(*undone)).events)
    assert (error.sequence, error.expected, error.found) == (2, "nothing", "activity 'Added'")


def test_rewound_history_must_still_go_on_where_it_went_on() -> None:
    events = HistoryBuilder().turn(activity(1, "A")).turn(done(1)).turn(_rewound(7)).events
    assert mismatch(asks_a, events).found == "the end of the orchestrator"
