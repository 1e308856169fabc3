"""Retries: when to try again, and what the history holds of it (RET-1…3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrations.engine.events import TimerCreated
from orchestrations.engine.failures import FailureDetails, NonRetriableError, TaskFailedError
from orchestrations.engine.retries import LONGEST_DELAY, RetryOptions
from orchestrations.engine.state import Status
from tests.builders import T0, Play, child_done, child_failed, done, failed, failure, fired

BAD = failure("x")


def retrying(options: RetryOptions) -> Any:
    """Return an orchestrator with one retried activity."""

    def f(context: Any) -> Any:
        return (yield context.call_activity("A", 1, retry=options))

    return f


def play_until_end(options: RetryOptions, failures: int) -> Play:
    """Let that many attempts fail, then one succeed if it is asked for."""
    play = Play(retrying(options))
    play.start()
    for attempt in range(1, failures + 1):
        play.go(failed(1, attempt=attempt))
        if play.last.status is not Status.RUNNING:
            return play
        play.go(fired(1, attempt=attempt), after=60)
    play.go(done(1, "at last", attempt=failures + 1))
    return play


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_attempts_count_the_first_one(most: int) -> None:
    """RET-1."""
    play = play_until_end(RetryOptions(1, most), failures=10)
    assert play.last.status is Status.FAILED
    kinds = [e.kind for e in play.history]
    assert (kinds.count("TaskScheduled"), kinds.count("TaskFailed")) == (most, most)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_there_is_no_timer_after_the_last_attempt(most: int) -> None:
    """RET-3."""
    kinds = [e.kind for e in play_until_end(RetryOptions(1, most), failures=10).history]
    assert (kinds.count("TimerCreated"), kinds.count("TimerFired")) == (most - 1, most - 1)


def test_chain_takes_one_number_and_says_its_attempts() -> None:
    """RET-3."""

    def f(context: Any) -> Any:
        first = yield context.call_activity("A", retry=RetryOptions(1, 3))
        return [first, (yield context.call_activity("B"))]

    play = Play(f)
    play.start()
    play.go(failed(1, attempt=1))
    play.go(fired(1, attempt=1))
    play.go(done(1, "ok", attempt=2))
    assert play.asked == ["activity 2 B"]
    chain = [(e.kind, e.event_id, getattr(e, "attempt", None)) for e in play.history if e.event_id == 1]
    assert chain == [("TaskScheduled", 1, 1), ("TimerCreated", 1, 1), ("TaskScheduled", 1, 2)]
    timer = next(e for e in play.history if isinstance(e, TimerCreated))
    assert timer.origin == "retry"


def test_last_failure_tells_the_number_of_attempts() -> None:
    """FAIL-1."""

    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A", retry=RetryOptions(0, 2))
        except TaskFailedError as error:
            return error.attempts

    play = Play(f)
    play.start()
    play.go(failed(1, attempt=1))
    play.go(fired(1, attempt=1))
    play.go(failed(1, attempt=2))
    assert play.output == 2


def test_outcome_of_an_earlier_attempt_is_ignored() -> None:
    """TSK-7."""
    play = Play(retrying(RetryOptions(1, 3)))
    play.start()
    play.go(failed(1, attempt=1))
    assert [e.kind for e in play.go(done(1, "late", attempt=1)).events][1:-1] == []
    play.go(fired(1, attempt=1))
    assert [e.kind for e in play.go(failed(1, attempt=1), fired(1, attempt=1)).events][1:-1] == []
    play.go(done(1, "right", attempt=2))
    assert play.output == "right"


def test_delays_grow_by_the_coefficient_up_to_the_most() -> None:
    """RET-2."""
    options = RetryOptions(2, 9, backoff_coefficient=3, max_retry_interval=timedelta(seconds=50))
    delays = [options.next_delay(attempt, BAD, T0, T0) for attempt in range(1, 6)]
    assert [d and d.total_seconds() for d in delays] == [2, 6, 18, 50, 50]


def test_delay_that_grows_beyond_all_bounds_is_bounded() -> None:
    assert RetryOptions(1, 10_000, backoff_coefficient=10).next_delay(9_000, BAD, T0, T0) == LONGEST_DELAY
    assert RetryOptions(1e12, 9, backoff_coefficient=1e300).next_delay(3, BAD, T0, T0) == LONGEST_DELAY
    assert RetryOptions(1, 9, backoff_coefficient=10**400).next_delay(2, BAD, T0, T0) == LONGEST_DELAY


def test_back_off_is_asked_for_from_the_turn_that_saw_the_failure() -> None:
    play = Play(retrying(RetryOptions(5, 2)))
    play.start()
    play.go(failed(1, attempt=1), after=100)
    assert play.last.timers[0].fire_at == T0 + timedelta(seconds=105)


def test_non_retriable_failure_is_final() -> None:
    """RET-2, FAIL-7."""
    play = Play(retrying(RetryOptions(1, 5)))
    play.start()
    play.go(failed(1, NonRetriableError("never"), attempt=1))
    assert play.last.status is Status.FAILED


def test_handle_decides_after_it_has_seen_the_details() -> None:
    """RET-2."""
    seen: list[FailureDetails] = []

    def handle(details: FailureDetails) -> bool:
        seen.append(details)
        return details.is_caused_by(OSError)

    play = Play(retrying(RetryOptions(1, 5, handle=handle)))
    play.start()
    play.go(failed(1, TimeoutError("again"), attempt=1))
    assert play.asked == ["timer 1"]
    play.go(fired(1, attempt=1))
    play.go(failed(1, KeyError("stop"), attempt=2))
    assert play.last.status is Status.FAILED
    assert [d.error_type for d in seen] == ["builtins.TimeoutError", "builtins.KeyError"]


def test_non_retriable_failure_is_not_shown_to_handle() -> None:
    """RET-2 has an order."""
    options = RetryOptions(1, 5, handle=lambda details: pytest.fail("asked"))
    assert options.next_delay(1, failure(NonRetriableError("n")), T0, T0) is None


def test_handle_that_raises_fails_the_task_with_that_error() -> None:
    def handle(details: FailureDetails) -> bool:
        raise LookupError("handle is broken")

    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A", retry=RetryOptions(1, 5, handle=handle))
        except LookupError as error:
            return str(error)

    play = Play(f)
    play.start()
    play.go(failed(1, attempt=1))
    assert play.output == "handle is broken"


def test_retry_timeout_counts_orchestration_time_from_the_first_attempt() -> None:
    """RET-2."""
    options = RetryOptions(1, 100, retry_timeout=10)
    assert options.next_delay(1, BAD, T0, T0 + timedelta(seconds=9.999)) is not None
    assert options.next_delay(1, BAD, T0, T0 + timedelta(seconds=10)) is None
    assert RetryOptions(1, 9, retry_timeout=timedelta.max).next_delay(1, BAD, T0, T0) is not None


def test_child_is_retried_under_an_id_for_each_attempt() -> None:
    """SUB-1."""

    def f(context: Any) -> Any:
        return (yield context.call_sub_orchestrator("C", retry=RetryOptions(1, 3)))

    play = Play(f)
    play.start()
    first = play.last.children[0].instance_id
    play.go(child_failed(1, attempt=1))
    play.go(fired(1, attempt=1))
    assert (first, play.last.children[0].instance_id) == ("i:e:0001", "i:e:0001.2")
    play.go(child_done(1, "ok", attempt=2))
    assert play.output == "ok"


def test_child_with_an_id_keeps_it_in_every_attempt() -> None:
    """SUB-1."""

    def f(context: Any) -> Any:
        return (yield context.call_sub_orchestrator("C", None, "mine", retry=RetryOptions(1, 3)))

    play = Play(f)
    play.start()
    play.go(child_failed(1, attempt=1))
    play.go(fired(1, attempt=1))
    assert play.last.children[0].instance_id == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"first_retry_interval": -1}, "first_retry_interval must be 0 or more"),
        ({"first_retry_interval": float("nan")}, "first_retry_interval"),
        ({"first_retry_interval": float("inf")}, "first_retry_interval"),
        ({"max_number_of_attempts": 0}, "max_number_of_attempts must be 1 or more, not 0"),
        ({"max_number_of_attempts": 1.5}, "max_number_of_attempts must be 1 or more, not 1.5"),
        ({"backoff_coefficient": 0.5}, "backoff_coefficient must be 1 or more, not 0.5"),
        ({"backoff_coefficient": float("nan")}, "backoff_coefficient"),
        ({"max_retry_interval": timedelta(seconds=-1)}, "max_retry_interval must be 0 or more"),
        ({"retry_timeout": -0.1}, "retry_timeout must be 0 or more"),
        ({"first_retry_interval": "5"}, "first_retry_interval must be a timedelta or a number of seconds, not str"),
        ({"first_retry_interval": None}, "first_retry_interval must be a timedelta"),
        ({"first_retry_interval": True}, "not bool"),
        ({"first_retry_interval": 10**400}, "first_retry_interval must be a finite number"),
        ({"max_number_of_attempts": True}, "max_number_of_attempts must be 1 or more, not True"),
        ({"backoff_coefficient": "2"}, "backoff_coefficient must be 1 or more, not '2'"),
        ({"handle": "always"}, "handle must be a function"),
    ],
)
def test_bad_options_are_refused_with_field_and_bound(arguments: dict[str, Any], words: str) -> None:
    """RET-1."""
    with pytest.raises(ValueError, match=words):
        RetryOptions(**{"first_retry_interval": 1, "max_number_of_attempts": 2, **arguments})
