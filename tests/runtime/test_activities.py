"""One activity: called, timed, and its outcome made an event, whatever it does (BAD-60, 61, 67)."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone, translation

from orchestrations import activity
from orchestrations.client.client import DurableClient
from orchestrations.engine import encoding
from orchestrations.engine.events import TaskCompleted, TaskFailed
from orchestrations.runtime.activities import ActivityRunner
from orchestrations.runtime.pace import Pace
from orchestrations.runtime.surroundings import FORKED_EXIT
from orchestrations.store import claims, clock
from orchestrations.store.claimed import ClaimedActivity
from orchestrations.store.claims import ClaimLimits
from orchestrations.store.models import ActivityTask, TaskHub
from tests.store.holding import turn


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


class HardStop(BaseException):
    pass


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise HardStop


class Odd(type):
    def __getattribute__(cls, name: str) -> Any:
        raise HardStop


@activity
def raise_base(how: str) -> None:
    class Indescribable(Exception, metaclass=Odd):  # in here, for whoever collects tests looks at every class
        pass

    raise {
        "cancelled": asyncio.CancelledError("by nobody"),
        "hard stop": HardStop("limit reached"),
        "group": BaseExceptionGroup("two", [HardStop("a"), ValueError("b")]),
        "exit": SystemExit(4),
        "unspeakable": Unspeakable(),
        "indescribable": Indescribable(),
    }[how]


BASE_EXCEPTIONS = [
    ("cancelled", "CancelledError", "by nobody"),
    ("hard stop", "HardStop", "limit reached"),
    ("group", "BaseExceptionGroup", "two"),
    ("exit", "SystemExit", "4"),
    ("unspeakable", "Unspeakable", ""),
    ("indescribable", "Indescribable", ""),
]


def _leave_transaction() -> None:
    transaction.atomic().__enter__()
    TaskHub.objects.create(name="leftover")


def _leave_manual_transaction() -> None:
    transaction.set_autocommit(False)
    TaskHub.objects.create(name="leftover")


def _begin() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    TaskHub.objects.create(name="leftover")


def _begin_and_raise() -> None:
    _begin()
    raise ValueError("after that")


def _close_the_driver() -> None:
    connection.ensure_connection()
    connection.connection.close()


def _lower_a_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


WAYS: dict[str, Any] = {
    "atomic": _leave_transaction,
    "autocommit": _leave_manual_transaction,
    "begin": _begin,
    "begin and raise": _begin_and_raise,
    "raw close": _close_the_driver,
    "close": lambda: connection.close(),
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0),
    "handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "alarm": lambda: signal.alarm(3000),
    "limit": _lower_a_limit,
    "recursion": lambda: sys.setrecursionlimit(5000),
}
LEFTOVERS = [
    ("atomic", "left a transaction open"),
    ("autocommit", "left a transaction open"),
    ("begin", "left a transaction open"),
    ("raw close", "closed the driver's connection"),
    ("folder", "changed the working directory"),
    ("umask", "changed the umask"),
    ("handler", "changed a signal handler"),
    ("alarm", "left an alarm pending"),
    ("limit", "changed a resource limit"),
    ("recursion", "changed the recursion limit"),
]


@activity
def leave_behind(how: str) -> int:
    WAYS[how]()
    return 1


@activity
def travel(_: Any) -> int:
    timezone.activate("Asia/Tokyo")
    translation.activate("de")
    return 1


@activity
def fork(_: Any) -> int:
    """The child returns into the worker's code, as it would in a program that forgot to end it."""
    return os.fork()


@activity(at_most_once=True)
def once(_: Any) -> int:
    return 1


@pytest.fixture
def runner() -> ActivityRunner:
    return ActivityRunner("w", Pace(0.05, 100))


def run(runner: ActivityRunner, name: str, value: str | None = "1", *, lost: int = 0) -> TaskCompleted | TaskFailed:
    function = runner.find(name)
    assert function is not None
    result = runner.run(ClaimedActivity(1, 1, 1, "e", 7, 1, name, value, "main.default", lost, "main", "i"), function)
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


def test_an_unknown_activity_is_not_found(runner: ActivityRunner) -> None:
    assert runner.find("nobody") is None


def test_an_attempt_whose_worker_was_lost_too_often_fails_without_being_run(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "echo", lost=4), TaskCompleted)
    event = failed(run(runner, "echo", lost=5))
    assert event.failure_details is not None
    assert event.failure_details.error_type == "WorkerLost"


@pytest.fixture
def claimed_once() -> ClaimedActivity:
    """An attempt of `once`, claimed by worker "w"."""
    DurableClient().start_new("call", client_input="once")
    turn("somebody", share=False, keep=False)
    found = claims.claim("main.default", "w", ClaimLimits(0, 1, 30.0), clock.now())
    return found.activities[0]


def test_what_may_run_once_is_recorded_as_begun_and_not_run_again(
    runner: ActivityRunner, claimed_once: ClaimedActivity
) -> None:
    function = runner.find("once")
    assert function is not None
    first = runner.run(claimed_once, function)
    assert first is not None
    assert isinstance(first.event, TaskCompleted)
    assert ActivityTask.objects.get().begun_at is not None
    again = runner.run(claimed_once, function)
    assert again is not None
    assert "at most once" in (failed(again.event).reason or "")


def test_what_may_run_once_runs_after_a_loss_before_its_beginning(
    runner: ActivityRunner, claimed_once: ClaimedActivity
) -> None:
    """It was in a dead worker's hands, but its code had not begun."""
    function = runner.find("once")
    assert function is not None
    result = runner.run(replace(claimed_once, losses=1), function)
    assert result is not None
    assert isinstance(result.event, TaskCompleted)


def test_what_may_run_once_is_not_run_by_a_worker_that_has_lost_it(
    runner: ActivityRunner, claimed_once: ClaimedActivity
) -> None:
    function = runner.find("once")
    assert function is not None
    ActivityTask.objects.update(lease_owner="another")
    assert runner.run(claimed_once, function) is None
    assert ActivityTask.objects.get().begun_at is None


@pytest.mark.parametrize(("how", "kind", "text"), BASE_EXCEPTIONS)
def test_any_base_exception_is_an_outcome_with_its_type_and_text(
    runner: ActivityRunner, how: str, kind: str, text: str
) -> None:
    event = failed(run(runner, "raise_base", f'"{how}"'))
    assert event.failure_details is not None
    assert event.failure_details.error_type.endswith(kind)
    assert text in event.failure_details.message
    assert runner.is_spoilt is (how in ("hard stop", "exit"))


# --- what user code leaves behind


@pytest.mark.parametrize(("how", "words"), LEFTOVERS)
def test_what_harms_the_next_one_fails_the_activity_and_is_put_right(
    runner: ActivityRunner, how: str, words: str, tmp_path: Path
) -> None:
    def state() -> tuple[object, ...]:
        handler, limits = signal.getsignal(signal.SIGTERM), resource.getrlimit(resource.RLIMIT_NOFILE)
        umask = os.umask(0o022)
        os.umask(umask)
        return (os.getcwd(), umask, handler, limits, sys.getrecursionlimit())

    before = state()
    event = failed(run(runner, "leave_behind", f'"{how}"'))
    assert event.failure_details is not None
    assert event.failure_details.error_type == "orchestrations.errors.LeftoverError"
    assert words in event.failure_details.message
    assert event.failure_details.is_non_retriable is False
    assert state() == before
    assert connection.get_autocommit() is True
    assert not TaskHub.objects.filter(name="leftover").exists()
    TaskHub.objects.create(name="afterwards")
    assert isinstance(run(runner, "echo"), TaskCompleted)


def test_a_failure_of_its_own_is_kept_and_what_was_left_is_put_right(runner: ActivityRunner) -> None:
    event = failed(run(runner, "leave_behind", '"begin and raise"'))
    assert event.failure_details is not None
    assert event.failure_details.error_type == "builtins.ValueError"
    TaskHub.objects.create(name="afterwards")


def test_time_zone_and_language_are_the_workers_own_again(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "travel"), TaskCompleted)
    assert (timezone.get_current_timezone_name(), translation.get_language()) == ("UTC", "en")


def test_a_connection_that_was_closed_by_django_s_own_call_is_no_fault(runner: ActivityRunner) -> None:
    assert isinstance(run(runner, "leave_behind", '"close"'), TaskCompleted)
    assert TaskHub.objects.count() == 0


def test_a_child_that_is_forked_and_returns_is_not_the_worker(runner: ActivityRunner) -> None:
    event = run(runner, "fork", "1")
    assert isinstance(event, TaskCompleted)
    assert event.result is not None
    _, status = os.waitpid(int(event.result), 0)
    assert os.waitstatus_to_exitcode(status) == FORKED_EXIT
    assert TaskHub.objects.count() == 0
