"""Which messages a turn takes: suspension, resumption, termination (MGT-1, MGT-2)."""

from __future__ import annotations

from orchestrations.engine.events import ExecutionResumed, ExecutionSuspended, ExecutionTerminated, HistoryEvent
from orchestrations.engine.intake import take
from orchestrations.engine.state import Status
from tests.builders import T0, done, raised, started

SUSPEND = ExecutionSuspended(timestamp=T0, reason="stop")
RESUME = ExecutionResumed(timestamp=T0, reason="go")
TERMINATE = ExecutionTerminated(timestamp=T0, input='"enough"')
A, B, C = raised("A"), raised("B"), done(1)


def test_running_instance_takes_everything_in_order() -> None:
    intake = take(Status.RUNNING, [A, C, B])
    assert (intake.events, intake.taken, intake.needs_body) == ([A, C, B], [0, 1, 2], True)


def test_suspended_instance_leaves_everything_but_management_where_it_is() -> None:
    intake = take(Status.SUSPENDED, [A, C])
    assert (intake.events, intake.taken, intake.is_suspended, intake.needs_body) == ([], [], True, False)


def test_suspension_holds_what_comes_after_it() -> None:
    intake = take(Status.RUNNING, [A, SUSPEND, B])
    assert (intake.events, intake.taken) == ([A, SUSPEND], [0, 1])
    assert (intake.is_suspended, intake.reason, intake.needs_body) == (True, "stop", True)


def test_suspension_alone_needs_no_code() -> None:
    intake = take(Status.RUNNING, [SUSPEND])
    assert (intake.is_suspended, intake.needs_body) == (True, False)


def test_resumption_lets_go_what_was_held_in_order() -> None:
    intake = take(Status.SUSPENDED, [A, B, RESUME, C])
    assert (intake.events, intake.taken) == ([RESUME, A, B, C], [2, 0, 1, 3])
    assert (intake.is_suspended, intake.reason, intake.needs_body) == (False, "go", True)


def test_suspended_and_resumed_in_one_turn_loses_nothing() -> None:
    intake = take(Status.RUNNING, [A, SUSPEND, B, RESUME, C])
    assert intake.events == [A, SUSPEND, RESUME, B, C]
    assert sorted(intake.taken) == [0, 1, 2, 3, 4]


def test_resumed_and_suspended_again_holds_the_rest() -> None:
    intake = take(Status.SUSPENDED, [A, RESUME, SUSPEND, B])
    assert (intake.events, intake.is_suspended) == ([RESUME, A, SUSPEND], True)


def test_termination_wins_over_everything_and_takes_everything() -> None:
    for status in (Status.PENDING, Status.RUNNING, Status.SUSPENDED):
        intake = take(status, [A, SUSPEND, C, TERMINATE, B])
        assert (intake.termination, intake.needs_body) == (TERMINATE, False)
        assert intake.taken == [0, 1, 2, 3, 4]


def test_of_what_a_termination_takes_start_and_external_events_stay_visible() -> None:
    """EVT-7; and an instance that never ran keeps its name and input in its history."""
    begin = started()
    assert take(Status.PENDING, [A, begin, C, TERMINATE, B]).events == [begin, A, B, TERMINATE]


def test_first_of_two_terminations_counts() -> None:
    second = ExecutionTerminated(timestamp=T0, input='"again"')
    assert take(Status.RUNNING, [TERMINATE, second]).termination is TERMINATE


def test_start_comes_before_all_that_reached_the_instance_first() -> None:
    begin: HistoryEvent = started()
    intake = take(Status.PENDING, [A, begin, B])
    assert (intake.events, intake.taken) == ([begin, A, B], [1, 0, 2])


def test_nothing_gives_nothing() -> None:
    intake = take(Status.RUNNING, [])
    assert (intake.events, intake.needs_body, intake.is_suspended) == ([], False, False)
