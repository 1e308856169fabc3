"""Commits through database errors: again, or read back, but never twice and never half."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from orchestrations.client.client import DurableClient
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.runtime import bursts
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.commits import TRIES, commit_safely
from orchestrations.store import clock, leases
from orchestrations.store.batch import TurnCommit
from orchestrations.store.models import InboxMessage, Schedule
from tests.bursts import burst_once, drain, kinds_of, new_worker, status_of
from tests.histories import count_events
from tests.store.concurrency import beside, held_beside, run_beside, wait_until_blocked
from tests.store.holding import claim, commit, hold, plan
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


def lose_the_word(real: Callable[[], None]) -> None:
    raise OperationalError("server closed the connection unexpectedly")


class LockTimeout(Exception):
    sqlstate = "55P03"


def be_locked(real: Callable[[], None]) -> None:
    raise OperationalError("canceling statement due to lock timeout") from LockTimeout()


class Deadlock(Exception):
    sqlstate = "40P01"


def be_refused(real: Callable[[], None]) -> None:
    raise OperationalError("deadlock detected") from Deadlock()


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
    """The first one's lease was lost, so it says nothing about the others. They go the whole way, by a COMMIT."""
    leases.hand_back("w")
    claim("another", instances=1)
    mine = {one.lease.instance: one for one in claim("w").instances}
    for one in plans:
        one.held = mine.get(one.key, one.held)
        one.held.inbox = None  # nobody has looked: that is not the fast path's, which would miss and lose no answer
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
    assert count_events("EventRaised") == 1
    assert InboxMessage.objects.count() == 2
    assert not Schedule.objects.filter(blocked__gt="").exists()


def test_a_plan_that_finds_its_row_locked_after_a_broken_try_is_not_dropped(plans: list[TurnCommit]) -> None:
    """The lock may be that try's own: it can be stored yet, with activities that nobody knows of."""
    if connection.vendor == "sqlite":
        pytest.skip("there are no row locks")
    tries = [lose_the_commit, *[be_locked] * 3]
    with failing_commits(lambda real: tries.pop(0)(real), 4):
        assert commit_safely(plans, clock.now(), "code") is None


def test_plans_that_each_find_the_connection_broken_are_not_dropped(plans: list[TurnCommit]) -> None:
    """Nobody knows whether they are stored, or will be."""
    with failing_commits(lose_the_word, TRIES + 2):
        assert commit_safely(plans, clock.now(), "code") is None


def test_a_plan_that_a_broken_try_stores_while_it_is_tried_alone_is_not_dropped(plans: list[TurnCommit]) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server that could go on")

    def be_too_late(real: Callable[[], None]) -> None:
        run_beside(lambda: commit(plans))
        real()

    tries = [lose_the_word, *[be_refused] * (TRIES - 1), be_too_late]
    with failing_commits(lambda real: tries.pop(0)(real), TRIES + 1):
        assert commit_safely(plans, clock.now(), "code") is None
    assert_all_is_well()


def test_a_plan_whose_row_somebody_keeps_locked_is_dropped_and_blamed_for_nothing(plans: list[TurnCommit]) -> None:
    """A transaction of the host application that raised an event and then waits for something slow."""
    if connection.vendor == "sqlite":
        pytest.skip("there are no row locks")
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    with held_beside(lambda: DurableClient().raise_event("x", "a", 2)):
        answers = commit_safely(plans, clock.now(), "code")
    connection.close()
    assert answers is not None
    by_name = {c.held.facts.instance_id: a.is_dropped for c, a in zip(plans, answers, strict=True)}
    assert by_name == {"x": True, "y": False}
    assert not Schedule.objects.filter(blocked__gt="").exists()
    leases.hand_back("w")
    drain()
    assert [status_of(name) for name in "xy"] == [Status.COMPLETED] * 2


def test_a_single_plan_whose_answer_was_lost_is_not_marked_as_one_that_cannot_be_stored(
    plans: list[TurnCommit],
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is no server whose answer could be lost")
    tries = [*[be_refused] * TRIES, lose_the_answer]

    def fail(real: Callable[[], None]) -> None:
        tries.pop(0)(real)

    with failing_commits(fail, TRIES + 1):
        assert commit_safely(plans, clock.now(), "code") is None  # what was shared out is not known
    assert not Schedule.objects.filter(blocked__gt="").exists()
    assert_all_is_well()


def test_a_statement_that_goes_on_after_its_connection_broke_strands_no_activity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for a row while its client tries again, and is stored then: what it shared out is known to nobody."""
    if connection.vendor == "sqlite":
        pytest.skip("there is no server that could go on")
    DurableClient().start_new("sequence", "x", client_input=1)
    real = commit_safely
    is_ready, may_commit = threading.Event(), threading.Event()
    descriptors: list[int] = []

    def commit_when_told(*args: Any) -> Any:
        if not descriptors:
            descriptors.append(connection.connection.fileno())
            is_ready.set()
            may_commit.wait(10.0)
        return real(*args)

    monkeypatch.setattr(bursts, "commit_safely", commit_when_told)
    future = beside(_run_a_burst)
    assert is_ready.wait(10.0)
    with held_beside(lambda: Schedule.objects.update(revision=F("revision") + 1)) as finish:
        may_commit.set()
        wait_until_blocked(future)
        with socket.socket(fileno=os.dup(descriptors[0])) as wire:
            wire.shutdown(socket.SHUT_RDWR)
        wait_until_blocked(future, waiters=2)  # the statement whose client has gone, and the next try
        finish()
    future.result(20.0)
    drain()
    assert status_of("x") is Status.COMPLETED


def _run_a_burst() -> None:
    """As a worker that has its connection in this thread."""
    worker = new_worker()
    Burst(worker, default_queue()).run()
    worker.close()


def test_an_instance_that_is_due_without_anything_to_take_is_claimed_once_and_not_for_ever() -> None:
    DurableClient().start_new("wait_for", "idle", ["a"])
    drain()
    Schedule.objects.update(due_at=clock.now())
    burst_once()
    assert Schedule.objects.get().due_at is None
    assert not claim("w").instances
