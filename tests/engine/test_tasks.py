"""Activities, sub-orchestrations, timers and what is made of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from orchestrations.engine.failures import TaskCancelledError, TaskFailedError
from orchestrations.engine.results import TurnLimits
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.state import Status
from orchestrations.errors import LimitExceededError
from tests.builders import (
    T0,
    Play,
    child_done,
    child_failed,
    done,
    failed,
    fired,
    raised,
    run,
)

SECOND = timedelta(seconds=1)


def sequence(context: Any) -> Any:
    first = yield context.call_activity("A", 1)
    second = yield context.call_activity("B", first)
    return [first, second]


def test_activities_run_one_after_another_and_numbers_begin_at_one() -> None:
    play = Play(sequence)
    play.start()
    assert play.asked == ["activity 1 A"]
    play.go(done(1, "x"))
    assert play.asked == ["activity 2 B"]
    assert play.last.activities[0].input == '"x"'
    play.go(done(2, "y"))
    assert play.output == ["x", "y"]


def test_action_is_scheduled_when_it_is_created_awaited_or_not() -> None:
    """TSK-1."""

    def f(context: Any) -> Any:
        context.call_activity("Forgotten")
        context.create_timer(SECOND)
        yield context.wait_for_external_event("E")

    play = Play(f)
    play.start()
    assert play.asked == ["activity 1 Forgotten", "timer 2"]


def test_wait_for_an_event_takes_no_number_unless_it_has_a_timeout() -> None:
    """TSK-1."""

    def f(context: Any) -> Any:
        context.wait_for_external_event("E")
        context.wait_for_external_event("F", SECOND)
        yield context.call_activity("A")

    play = Play(f)
    play.start()
    assert play.asked == ["timer 1", "activity 2 A"]


def test_awaiting_a_settled_task_again_gives_the_same_and_asks_for_nothing() -> None:
    """TSK-3."""

    def f(context: Any) -> Any:
        task = context.call_activity("A")
        first = yield task
        second = yield task
        return [first, second, task.is_completed, task.is_failed, task.result]

    play = run(f, done(1, 7))
    assert play.output == [7, 7, True, False, 7]


def test_result_of_an_unsettled_task_is_an_error() -> None:
    def f(context: Any) -> Any:
        return context.call_activity("A").result

    play = run(f)
    assert play.last.failure is not None
    assert play.last.failure.error_type == "builtins.RuntimeError"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_fan_in_gives_results_in_input_order_whatever_the_order_of_completion(order: tuple[int, ...]) -> None:
    """TSK-4."""

    def f(context: Any) -> Any:
        return (yield context.task_all([context.call_activity("A", n) for n in range(3)]))

    assert run(f, *(done(n, n * 10) for n in order)).output == [10, 20, 30]


@pytest.mark.parametrize("width", [1, 2, 50])
def test_fan_in_of_n_ends_with_exactly_the_nth_outcome(width: int) -> None:
    def f(context: Any) -> Any:
        return sum((yield context.task_all([context.call_activity("A") for _ in range(width)])))

    play = Play(f)
    play.start()
    for number in range(1, width + 1):
        assert play.last.status is Status.RUNNING
        play.go(done(number, number))
    assert play.output == width * (width + 1) // 2


def test_fan_in_waits_for_all_then_raises_the_first_failure_in_input_order() -> None:
    """TSK-4: not the first in time."""

    def f(context: Any) -> Any:
        try:
            yield context.task_all([context.call_activity("A") for _ in range(3)])
        except TaskFailedError as error:
            return [error.details.message, [str(f) for f in error.failures]]

    play = run(f, failed(3, "late one"), failed(1, "early one"))
    assert play.last.status is Status.RUNNING
    play.go(done(2))
    assert play.output[0] == "early one"
    assert [text.rpartition(": ")[2] for text in play.output[1]] == ["early one", "late one"]


def test_nested_fan_in_keeps_every_failure_in_input_order() -> None:
    """TSK-4, RWD-2."""

    def f(context: Any) -> Any:
        calls = [context.call_activity("A", n) for n in range(5)]
        inner = context.task_all(calls[:2])
        deep = context.task_all([calls[2], context.task_all([calls[3]])])
        try:
            yield context.task_all([inner, deep, calls[4]])
        except TaskFailedError as error:
            context.set_custom_status([getattr(e, "sequence", None) for e in error.failures])
            raise

    play = run(f, failed(5), failed(2), failed(4), failed(1), done(3))
    assert play.turn.execution.custom_status == "[1,2,4,5]"
    assert getattr(play.last.events[-2], "failed_tasks", None) == (1, 2, 4, 5)


def test_failed_task_of_two_fan_ins_keeps_the_failures_of_each_apart() -> None:
    """TSK-4."""

    def f(context: Any) -> Any:
        a, b, c = (context.call_activity("A", n) for n in range(3))
        found = []
        for pair in (context.task_all([a, b]), context.task_all([a, c])):
            try:
                yield pair
            except TaskFailedError as error:
                found.append(error)
        return [[getattr(e, "sequence", None) for e in error.failures] for error in found]

    assert run(f, failed(2), failed(3), failed(1)).output == [[1, 2], [1, 3]]


def test_cancelled_wait_says_for_which_event_it_was() -> None:
    """TSK-6."""

    def f(context: Any) -> Any:
        for timeout in (None, SECOND):
            wait = context.wait_for_external_event("Approval", timeout)
            wait.cancel()
            try:
                yield wait
            except TaskCancelledError as error:
                context.set_custom_status([str(error), context.custom_status])

    assert run(f).turn.execution.custom_status == (
        "[\"The wait for event 'Approval' was cancelled.\",[\"The wait for event 'Approval' was cancelled.\",null]]"
    )


def test_fan_in_of_nothing_is_an_empty_list_at_once() -> None:
    """TSK-4."""

    def f(context: Any) -> Any:
        return (yield context.task_all([]))

    assert run(f).output == []


def test_cancelled_child_counts_as_a_failure_of_the_fan_in() -> None:
    """TSK-4."""

    def f(context: Any) -> Any:
        timer = context.create_timer(SECOND)
        timer.cancel()
        try:
            yield context.task_all([timer])
        except TaskCancelledError as error:
            return [str(error), len(error.failures)]

    assert run(f).output == ["Task #1 was cancelled.", 1]


def test_race_gives_the_settled_child_itself_and_never_raises() -> None:
    """TSK-5."""

    def f(context: Any) -> Any:
        tasks = [context.call_activity("A"), context.call_activity("B")]
        winner = yield context.task_any(tasks)
        loser = yield tasks[0]
        return [tasks.index(winner), winner.is_failed, loser]

    assert run(f, failed(2), done(1, "slow")).output == [1, True, "slow"]


def test_race_of_settled_tasks_gives_the_first_in_input_order() -> None:
    """TSK-5."""

    def f(context: Any) -> Any:
        a, b = context.call_activity("A"), context.call_activity("B")
        yield b
        yield a
        return (yield context.task_any([a, b])) is a

    assert run(f, done(2), done(1)).output is True


def test_race_in_which_one_event_settles_two_gives_the_first_in_input_order() -> None:
    """TSK-5: a task and a fan-in of it alone settle by the same event."""

    def f(context: Any) -> Any:
        a = context.call_activity("A")
        return (yield context.task_any([a, context.task_all([a])])) is a

    assert run(f, done(1)).output is True


def test_race_of_nothing_is_an_error() -> None:
    """TSK-5."""

    def f(context: Any) -> Any:
        yield context.task_any([])

    play = run(f)
    assert play.last.failure is not None
    assert play.last.failure.error_type == "builtins.ValueError"


def race(context: Any) -> Any:
    work, deadline = context.call_activity("A"), context.create_timer(SECOND * 10)
    winner = yield context.task_any([work, deadline])
    if winner is work:
        deadline.cancel()
        return (yield context.call_activity("Won", work.result))
    return (yield context.call_activity("Lost"))


def test_race_that_the_activity_wins_withdraws_the_timer() -> None:
    play = run(race, done(1, 5))
    assert play.asked == ["activity 3 Won"]
    assert play.last.withdrawn_timers == [2]


def test_race_that_the_timer_wins_leaves_the_activity_alone() -> None:
    play = run(race, fired(2))
    assert play.asked == ["activity 3 Lost"]
    assert play.last.withdrawn_timers == []


def test_race_settled_twice_in_one_turn_goes_to_the_earlier_message() -> None:
    """ORC-5."""
    play = Play(race)
    play.start()
    play.go(fired(2), done(1, 5))
    assert play.asked == ["activity 3 Lost"]
    other = Play(race)
    other.start()
    other.go(done(1, 5), fired(2))
    assert other.asked == ["activity 3 Won"]


def test_body_runs_on_before_the_next_message_is_looked_at() -> None:
    """ORC-5: the wait is created by the first message, and takes the second."""

    def f(context: Any) -> Any:
        yield context.call_activity("A")
        return (yield context.wait_for_external_event("E"))

    play = Play(f)
    play.start()
    play.go(done(1), raised("E", 3))
    assert play.output == 3


def test_timer_is_cancelled_once_and_its_await_raises() -> None:
    """TSK-6."""

    def f(context: Any) -> Any:
        timer = context.create_timer(SECOND)
        answers = [timer.cancel(), timer.cancel(), timer.is_cancelled, timer.is_completed]
        try:
            yield timer
        except TaskCancelledError:
            return answers

    assert run(f).output == [True, False, True, True]


def test_fired_timer_cannot_be_cancelled() -> None:
    """TSK-6."""

    def f(context: Any) -> Any:
        timer = context.create_timer(SECOND)
        yield timer
        return timer.cancel()

    assert run(f, fired(1)).output is False


def test_timer_that_is_cancelled_in_its_own_turn_is_withdrawn() -> None:
    def f(context: Any) -> Any:
        context.create_timer(SECOND).cancel()
        yield context.wait_for_external_event("E")

    play = run(f)
    assert play.asked == ["timer 1"]
    assert play.last.withdrawn_timers == [1]


def test_timer_in_the_past_is_asked_for_like_any_other() -> None:
    """TIM-2."""

    def f(context: Any) -> Any:
        yield context.create_timer(context.current_utc_datetime - SECOND)
        return "fired"

    play = run(f)
    assert play.last.timers[0].fire_at == T0 - SECOND
    play.go(fired(1, -1))
    assert play.output == "fired"


def test_timer_of_any_horizon_is_one_event() -> None:
    """TIM-2."""

    def f(context: Any) -> Any:
        yield context.create_timer(timedelta(days=36_500))

    assert run(f).last.timers[0].fire_at == T0 + timedelta(days=36_500)


def test_naive_timer_is_utc() -> None:
    """SRF-5."""

    def f(context: Any) -> Any:
        yield context.create_timer(datetime(2027, 1, 1))

    assert run(f).last.timers[0].fire_at.isoformat() == "2027-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("soon", "must be a datetime, or a timedelta or a number of seconds from now, not str"),
        (None, "not NoneType"),
        (True, "not bool"),
        (float("nan"), "must be a finite number of seconds"),
        (10**400, "must be a finite number of seconds"),
        (timedelta.max, "dates end with the year 9999"),
        (datetime.max.replace(tzinfo=timezone(-SECOND)), "beyond the years 1 to 9999 in UTC"),
    ],
    ids=["text", "none", "bool", "nan", "huge", "far", "latest"],
)
def test_time_that_is_none_is_refused_in_the_body_with_a_sentence(when: Any, words: str) -> None:
    def sleeps(context: Any) -> Any:
        yield context.create_timer(when)

    def waits(context: Any) -> Any:
        yield context.wait_for_external_event("E", when if when is not None else "never")

    for f in (sleeps, waits):
        failure = run(f).last.failure
        assert failure is not None
        assert failure.error_type == "orchestrations.errors.InvalidError"
        assert (words in failure.message) or when is None


def test_timer_and_timeout_take_seconds_as_well() -> None:
    def f(context: Any) -> Any:
        yield context.task_any([context.create_timer(1.5), context.wait_for_external_event("E", 2)])

    assert [t.fire_at - T0 for t in run(f).last.timers] == [1.5 * SECOND, 2 * SECOND]


def test_child_gets_an_id_made_from_its_parents() -> None:
    """SUB-1."""

    def f(context: Any) -> Any:
        return (yield context.call_sub_orchestrator("C", {"a": 1}))

    play = run(f)
    assert (play.last.children[0].instance_id, play.last.children[0].input) == ("i:e:0001", '{"a":1}')
    play.go(child_done(1, "out"))
    assert play.output == "out"


def test_child_may_be_given_an_id_and_a_version() -> None:
    """SUB-1, VER-1."""

    def f(context: Any) -> Any:
        yield context.call_sub_orchestrator("C", None, "my-child", "2.0")

    asked = run(f).last.children[0]
    assert (asked.instance_id, asked.version, asked.is_named) == ("my-child", "2.0", True)


def test_failed_child_raises_at_the_await() -> None:
    """FAIL-1: a sub-orchestration's text does not begin with the instance id."""

    def f(context: Any) -> Any:
        try:
            yield context.call_sub_orchestrator("C")
        except TaskFailedError as error:
            return [str(error), error.kind, error.sequence, error.attempts]

    assert run(f, child_failed(1, "no")).output == ["Sub-orchestration task #1 failed: no", "orchestration", 1, 1]


# --- TSK-7: an outcome for an unknown, settled or outdated task is ignored and counted, never applied


@pytest.mark.parametrize(
    "stray",
    [
        done(9),
        fired(9),
        fired(1),
        child_done(1, "x"),
        child_failed(1),
        done(1, "x", attempt=2),
        done(2, "x"),
        failed(2),
    ],
    ids=lambda event: f"{event.kind} {getattr(event, 'task_scheduled_id', '')}",
)
def test_outcome_of_the_wrong_task_kind_or_attempt_is_ignored(stray: Any) -> None:
    def f(context: Any) -> Any:
        work, timer = context.call_activity("A"), context.create_timer(SECOND)
        yield context.task_all([work, timer])
        return work.result

    play = Play(f)
    play.start()
    before = play.turn.waiting()
    result = play.turn.advance([stray], T0 + SECOND)
    assert (result.received, result.ignored) == ([], 1)
    assert play.turn.waiting() == before
    play.go(done(1, "right"), fired(2))
    assert play.output == "right"


def test_second_outcome_of_a_task_is_ignored() -> None:
    play = Play(sequence)
    play.start()
    plan = play.go(done(1, "first"), done(1, "second"))
    assert [e.kind for e in plan.events] == [
        "OrchestratorStarted",
        "TaskCompleted",
        "TaskScheduled",
        "OrchestratorCompleted",
    ]


def test_second_start_of_an_execution_is_ignored() -> None:
    play = Play(sequence)
    play.start(play.begin)
    assert [e.kind for e in play.last.events].count("ExecutionStarted") == 1


# --- ORC-6: the end


def test_what_was_asked_for_in_the_last_turn_is_carried_out_but_timers_and_waits() -> None:
    def f(context: Any) -> Any:
        context.call_activity("A")
        context.create_timer(SECOND)
        context.send_event("other", "E", 1)
        context.call_sub_orchestrator("C")
        context.wait_for_external_event("E", SECOND)
        return "end"

    plan = run(f).last
    assert plan.status is Status.COMPLETED
    assert ([e.name for e in plan.activities], [e.name for e in plan.children], [e.name for e in plan.sends]) == (
        ["A"],
        ["C"],
        ["E"],
    )
    assert plan.timers == []
    assert [e.kind for e in plan.events][-2:] == ["ExecutionCompleted", "OrchestratorCompleted"]


def test_outcome_after_the_end_is_ignored() -> None:
    def f(context: Any) -> Any:
        context.call_activity("A")
        return (yield context.call_activity("B"))

    play = Play(f)
    play.start()
    plan = play.go(done(2, 1), done(1, 2))
    assert [e.kind for e in plan.events].count("TaskCompleted") == 1


# --- limits


def test_too_wide_a_fan_out_is_refused_and_names_size_and_limit() -> None:
    def f(context: Any) -> Any:
        yield context.task_all([context.call_activity("A") for _ in range(4)])

    with pytest.raises(LimitExceededError, match="The number of open tasks is 4, the limit is 3") as caught:
        Play(f, limits=TurnLimits(fan_out=3)).start()
    assert (caught.value.code, caught.value.size, caught.value.limit) == ("limit.fan-out", 4, 3)


def test_body_that_swallows_everything_cannot_swallow_a_refused_turn() -> None:
    def f(context: Any) -> Any:
        while True:
            try:
                yield context.call_activity("A")
            except GeneratorExit:
                return
            except BaseException:
                yield context.call_activity("B")

    play = Play(f, limits=TurnLimits(fan_out=1))
    play.start()
    play.go(done(1))
    limited = Play(f, limits=TurnLimits(fan_out=0))
    with pytest.raises(LimitExceededError):
        limited.start()


def test_limit_that_a_retry_reaches_is_an_error_of_the_turn_not_a_crash() -> None:
    """The back-off is asked for while a message is applied, outside of the body."""

    def f(context: Any) -> Any:
        tasks = [context.call_activity("A", retry=RetryOptions(1, 2)) for _ in range(2)]
        context.wait_for_external_event("never")
        for _ in range(2):
            yield context.wait_for_external_event("E")
            context.send_event("other", "E")
        yield context.task_all(tasks)

    play = Play(f, limits=TurnLimits(fan_out=2))
    play.start()
    with pytest.raises(LimitExceededError):
        play.go(raised("E"), raised("E"), failed(1, attempt=1))
