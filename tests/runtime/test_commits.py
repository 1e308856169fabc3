"""Commits through database errors: again, or read back, but never twice and never half."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime.commits import TRIES, commit_safely
from orchestrations.store import clock, leases
from orchestrations.store.batch import TurnCommit
from orchestrations.store.models import HistoryEvent, InboxMessage, Schedule
from tests.bursts import drain, kinds_of, status_of
from tests.store.holding import claim, hold, plan
from tests.taps import OnCommit, commits_through


@contextmanager
def failing_commits(fail: OnCommit, times: int = 1) -> Iterator[None]:
    """Let the next commits of this connection go wrong as `fail` says, which is given the real one."""
    left = times

    def commit(real: Callable[[], None]) -> None:
        nonlocal left
        if left:
            left -= 1
            fail(real)
        else:
            real()

    with commits_through(commit):
        yield
    assert left == 0, "the fault did not happen"


def lose_the_answer(real: Callable[[], None]) -> None:
    real()
    connection.connection.close()
    raise OperationalError("server closed the connection unexpectedly")


def forget_the_answer(real: Callable[[], None]) -> None:
    real()
    raise OperationalError("the answer was lost")


def lose_the_commit(real: Callable[[], None]) -> None:
    connection.connection.close()
    raise OperationalError("server closed the connection unexpectedly")


def be_refused(real: Callable[[], None]) -> None:
    raise OperationalError("deadlock detected")


@pytest.fixture
def plans() -> list[TurnCommit]:
    for name in ("x", "y"):
        DurableClient().start_new("wait_for", name, ["a"])
        DurableClient().raise_event(name, "a", 1)
    return plan(hold(claim("w").instances))


def assert_all_is_well() -> None:
    assert [kinds_of(name).count("EventRaised") for name in "xy"] == [1, 1]
    assert not InboxMessage.objects.exists()
    leases.hand_back("w")
    drain()
    assert [status_of(name) for name in "xy"] == [Status.COMPLETED] * 2


def test_a_commit_that_is_refused_is_tried_again(plans: list[TurnCommit]) -> None:
    with failing_commits(be_refused, TRIES - 1):
        answers = commit_safely(plans, clock.now(), "code")
    assert answers is not None
    assert [a.is_dropped for a in answers] == [False, False]
    assert_all_is_well()


def test_a_commit_whose_answer_was_lost_is_read_back_and_not_repeated(plans: list[TurnCommit]) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server whose answer could be lost")
    with failing_commits(lose_the_answer):
        assert commit_safely(plans, clock.now(), "code") is None
    assert_all_is_well()


def test_a_commit_whose_answer_was_lost_is_known_by_any_plan_that_had_its_lease(plans: list[TurnCommit]) -> None:
    """The first one's lease was lost, so it says nothing about the others."""
    leases.hand_back("w")
    claim("another", instances=1)
    mine = {one.lease.instance: one for one in claim("w").instances}
    for one in plans:
        one.held = mine.get(one.key, one.held)
    plans.sort(key=lambda one: one.key in mine)
    with failing_commits(forget_the_answer):
        assert commit_safely(plans, clock.now(), "code") is None
    assert [kinds_of(name).count("EventRaised") for name in "xy"].count(1) == 1


def test_a_commit_that_was_lost_before_the_server_had_it_is_tried_again(plans: list[TurnCommit]) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server to lose")
    with failing_commits(lose_the_commit):
        answers = commit_safely(plans, clock.now(), "code")
    assert answers is not None
    assert [a.is_dropped for a in answers] == [False, False]
    assert_all_is_well()


def test_a_database_that_refuses_every_try_leaves_nothing(plans: list[TurnCommit]) -> None:
    """Plan by plan comes last; what fails alone is dropped, to be turned again, and no instance is blamed for it."""
    with failing_commits(be_refused, TRIES + 1):
        answers = commit_safely(plans, clock.now(), "code")
    assert answers is not None
    assert [a.is_dropped for a in answers] == [True, False]
    assert HistoryEvent.objects.filter(kind="EventRaised").count() == 1
    assert InboxMessage.objects.count() == 2
    assert not Schedule.objects.filter(blocked__gt="").exists()
