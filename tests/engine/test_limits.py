"""Limits count for what is new, never for what a history holds (LIM-1)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrations.engine.events import HistoryEvent
from orchestrations.engine.payloads import Limits
from orchestrations.engine.results import TurnLimits
from orchestrations.engine.state import Status
from orchestrations.engine.turn import Turn
from orchestrations.errors import PayloadError
from tests.builders import Play, body, child_done, done, raised

WIDE = TurnLimits(Limits(bytes=10_000, depth=20), custom_status_bytes=5_000, fan_out=100)
NARROW = TurnLimits(Limits(bytes=100, depth=2), custom_status_bytes=100, fan_out=2)
BIG, DEEP = "x" * 2_000, [[[[1]]]]


def replayed(play: Play, limits: TurnLimits) -> Turn:
    """Return a new body that has replayed the play's history under other limits."""
    turn = Turn(play.body, limits)
    turn.replay(play.history)
    return turn


def test_history_replays_under_narrower_limits_and_goes_on() -> None:
    def f(context: Any) -> Any:
        context.set_custom_status(BIG)
        yield context.task_all([context.call_activity("A", BIG), context.call_activity("B", DEEP)])
        context.send_event("other", "E", BIG)
        yield context.task_all([context.call_sub_orchestrator("C", BIG) for _ in range(5)])
        return "out"

    play = Play(f, limits=WIDE)
    play.start()
    play.go(done(1), done(2))
    turn = replayed(play, NARROW)
    assert turn.execution.custom_status == play.turn.execution.custom_status
    result = turn.advance([child_done(number) for number in range(4, 9)], play.now)
    assert result.completion is not None
    assert result.completion.result == '"out"'


def test_end_that_the_history_holds_replays_under_narrower_limits() -> None:
    play = Play(lambda context: BIG, limits=WIDE)
    assert play.start().status is Status.COMPLETED
    turn = replayed(play, NARROW)
    assert turn.completion is not None
    assert turn.completion.result == play.last.output


def _cautious(context: Any) -> Any:
    try:
        task = context.call_activity("A", BIG)
    except PayloadError:
        task = context.call_activity("B")
    return (yield task)


def test_refused_decision_is_refused_again_on_replay() -> None:
    """The history holds what the code did instead, under the same number."""
    play = Play(_cautious, limits=NARROW)
    play.start()
    assert play.asked == ["activity 1 B"]
    turn = replayed(play, NARROW)
    assert [wait["name"] for wait in turn.waiting()] == ["B"]


@pytest.mark.parametrize("value", [BIG, DEEP])
@pytest.mark.parametrize("ask", ["call_activity", "call_sub_orchestrator", "send_event"])
def test_refused_decision_is_refused_again_where_the_code_asked_for_less_of_the_same(ask: str, value: Any) -> None:
    target = ("other", "A") if ask == "send_event" else ("A",)

    def f(context: Any) -> Any:
        how = "directly"
        try:
            getattr(context, ask)(*target, value)
        except PayloadError:
            getattr(context, ask)(*target, "a reference")
            how = "by reference"
        yield context.wait_for_external_event("Go")
        return how

    play = Play(f, limits=NARROW)
    play.start()
    turn = replayed(play, NARROW)
    completion = turn.advance([raised("Go")], play.now).completion
    assert completion is not None
    assert completion.result == '"by reference"'


def test_decision_that_was_refused_is_refused_under_still_narrower_limits() -> None:
    """What the history holds is beyond them, too, but it is not what was refused."""

    def f(context: Any) -> Any:
        how = "directly"
        try:
            context.call_activity("A", BIG)
        except PayloadError:
            context.call_activity("A", "a reference of some length")
            how = "by reference"
        yield context.wait_for_external_event("Go")
        return how

    play = Play(f, limits=NARROW)
    play.start()
    narrower = TurnLimits(Limits(bytes=20, depth=2), custom_status_bytes=100, fan_out=2)
    completion = replayed(play, narrower).advance([raised("Go")], play.now).completion
    assert completion is not None
    assert completion.result == '"by reference"'


def test_refused_continuation_is_refused_again_on_replay() -> None:
    def f(context: Any) -> Any:
        try:
            context.continue_as_new(BIG)
        except PayloadError:
            yield context.call_activity("A")
        yield context.wait_for_external_event("Go")
        return "went on"

    play = Play(f, limits=NARROW)
    play.start()
    play.go(done(1))
    completion = replayed(play, NARROW).advance([raised("Go")], play.now).completion
    assert completion is not None
    assert completion.result == '"went on"'


def test_what_is_new_meets_the_present_limits() -> None:
    def f(context: Any) -> Any:
        yield context.call_activity("A", BIG)
        yield context.call_activity("A", BIG)

    play = Play(f, limits=WIDE)
    play.start()
    turn = replayed(play, NARROW)
    completion = turn.advance([done(1)], play.now).completion
    assert completion is not None
    assert completion.failure is not None
    assert "the limit is 100" in completion.failure.message


def test_live_body_and_replayed_body_refuse_alike() -> None:
    for is_live in (True, False):
        play = Play(_cautious, limits=NARROW, is_live=is_live)
        play.start()
        play.go(done(1, 5))
        assert play.output == 5
        events: list[HistoryEvent] = play.history
        Turn(body(_cautious), NARROW).replay(events)
