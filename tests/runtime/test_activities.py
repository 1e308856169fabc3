"""One activity: called, timed, and its outcome made an event, whatever it does (BAD-60, 61, 67)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from orchestrations import activity
from orchestrations.engine import encoding
from orchestrations.engine.events import TaskCompleted, TaskFailed
from orchestrations.runtime.activities import ActivityRunner
from orchestrations.runtime.pace import Pace
from orchestrations.store.claims import ClaimedActivity
from orchestrations.store.models import TaskHub


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@activity
def misbehave(how: str) -> Any:
    """Return or raise what is asked for."""
    circular: list[Any] = []
    circular.append(circular)
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    returns = {"object": object(), "nan": float("nan"), "bytes": b"x", "circular": circular, "deep": deep}
    returns |= {"large": "x" * (1024 * 1024), "nul": "\x00", "key": {(1, 2): 3}}
    raises = {"rude": Rude(), "long": ValueError("x" * 100_000), "odd": ValueError("\x00\ud800\x1b")}
    if how in raises:
        raise raises[how]
    if how == "recursion":
        return misbehave(how)
    return returns[how]


@activity
def leave_a_transaction_open(_: Any) -> int:
    transaction.set_autocommit(False)
    TaskHub.objects.create(name="leftover")
    return 1


@activity(at_most_once=True)
def once(_: Any) -> int:
    return 1


@pytest.fixture
def runner() -> Iterator[ActivityRunner]:
    found = ActivityRunner(Pace(0.05, 100))
    yield found
    found.close()


def run(runner: ActivityRunner, name: str, value: str | None = "1", *, lost: int = 0) -> TaskCompleted | TaskFailed:
    result = runner.run(ClaimedActivity(1, 1, 1, "e", 7, 1, name, value, "main.default", lost, "main", "i"))
    assert result is not None
    encoding.decode(encoding.encode(result.event)).timestamp  # noqa: B018 - it can be stored and read
    return result.event


def failed(event: TaskCompleted | TaskFailed) -> TaskFailed:
    assert isinstance(event, TaskFailed)
    return event


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("object", "object at $"),
        ("nan", "the number nan at $"),
        ("bytes", "bytes at $"),
        ("circular", "circular"),
        ("deep", "64 levels"),
        ("large", "limit is 1048576"),
        ("nul", "NUL"),
        ("key", "a key of type tuple"),
    ],
)
def test_what_is_no_json_fails_the_task_for_good_and_says_where(runner: ActivityRunner, how: str, words: str) -> None:
    event = failed(run(runner, "misbehave", f'"{how}"'))
    assert words in (event.reason or "")
    assert event.failure_details is not None
    assert event.failure_details.is_non_retriable is True
    assert runner.is_spoilt is False


@pytest.mark.parametrize("how", ["rude", "long", "odd", "recursion"])
def test_any_exception_becomes_a_failure_that_can_be_stored(runner: ActivityRunner, how: str) -> None:
    event = failed(run(runner, "misbehave", f'"{how}"'))
    text = encoding.encode(event)
    assert len(text) < 200_000
    text.encode()
    assert "\\u0000" not in text
    assert runner.is_spoilt is False


def test_an_exit_fails_the_task_and_spoils_the_process(runner: ActivityRunner) -> None:
    assert failed(run(runner, "exit_the_process")).failure_details is not None
    assert runner.is_spoilt is True


def test_an_unknown_activity_has_no_outcome(runner: ActivityRunner) -> None:
    assert runner.run(ClaimedActivity(1, 1, 1, "e", 7, 1, "nobody", None, "main.default")) is None


def test_an_async_activity_gives_its_result(runner: ActivityRunner) -> None:
    for _ in range(2):
        event = run(runner, "echo_async", '{"a":1}')
        assert isinstance(event, TaskCompleted)
        assert (event.result, event.task_scheduled_id) == ('{"a":1}', 7)


def test_an_attempt_whose_worker_was_lost_too_often_fails_without_being_run(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "echo", lost=4), TaskCompleted)
    event = failed(run(runner, "echo", lost=5))
    assert event.failure_details is not None
    assert event.failure_details.error_type == "WorkerLost"


def test_what_may_run_once_is_not_run_after_a_lost_attempt(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "once"), TaskCompleted)
    assert "at most once" in (failed(run(runner, "once", lost=1)).reason or "")


def test_a_transaction_that_user_code_left_open_is_rolled_back(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "leave_a_transaction_open"), TaskCompleted)
    assert connection.get_autocommit() is True
    assert not TaskHub.objects.filter(name="leftover").exists()
