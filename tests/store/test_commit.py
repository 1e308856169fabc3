"""Commits of turns, and what comes between a turn's load and its commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from orchestrations import activity
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.commits import commit_safely
from orchestrations.store import activities, advance, clock, leases
from orchestrations.store.batch import Committed, Share
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.commit import commit_turns
from orchestrations.store.models import ActivityTask, HistoryPart, InboxMessage, Instance, Schedule
from tests.bursts import HINTS, drain, kinds_of, new_worker, status_of
from tests.histories import count_events
from tests.store.concurrency import at_once, beside, held_beside, run_beside, wait_until_blocked
from tests.store.holding import (
    LEASE_SECONDS,
    PAST,
    claim,
    collide,
    commit,
    commit_the_whole_way,
    held_commit,
    hold,
    plan,
    result_of,
    row_of,
    schedule_of,
    start,
    turn,
)

WAYS = pytest.mark.parametrize("is_fast", [True, False], ids=["fast path", "whole way"])


@activity(at_most_once=True)
def be_settled_elsewhere(_: Any) -> int:
    """While it runs its lease runs out, and another worker is quicker."""

    def steal() -> None:
        ActivityTask.objects.update(lease_until=PAST)
        (taken,) = claim("quick", instances=0).activities
        activities.settle([result_of(taken, "2")], "quick")

    run_beside(steal)
    return 1


def begin_waiting(*names: str) -> str:
    """Start an instance and let it come to its first wait; return its id."""
    instance_id = DurableClient().start_new("wait_for", client_input=list(names or ("a",)))
    (answer,) = turn("begin", keep=False)
    assert not answer.is_dropped
    return instance_id


def visible_messages(instance_id: str) -> list[datetime]:
    rows = InboxMessage.objects.filter(instance__instance_id=instance_id)
    return [at or clock.now() for at in rows.values_list("not_before", flat=True) if at is None or at <= clock.now()]


def assert_due(instance_id: str) -> None:
    """A message waits, and `due_at` says so (I15)."""
    waiting = visible_messages(instance_id)
    due_at = schedule_of(instance_id).due_at
    assert waiting
    assert due_at is not None
    assert due_at <= min(waiting)


# --- a message arrives


def test_a_message_that_arrives_between_load_and_commit_is_seen_by_the_commit() -> None:
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    run_beside(lambda: DurableClient().raise_event(instance_id, "b", 2))
    (answer,) = commit(plans)
    assert (answer.is_kept, len(answer.waiting.messages)) == (True, 1)
    assert_due(instance_id)


def test_a_message_that_arrives_between_load_and_the_last_commit_of_a_burst_wakes_the_queue() -> None:
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances), keep=False)
    run_beside(lambda: DurableClient().raise_event(instance_id, "b", 2))
    HINTS.clear()
    (answer,) = commit(plans)
    assert answer.is_kept is False
    assert_due(instance_id)
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_a_message_that_is_not_committed_yet_when_the_commit_begins_is_never_forgotten() -> None:
    """The deliverer has the row's lock; the commit waits for it and must look at the inbox only then."""
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    with held_beside(lambda: DurableClient().raise_event(instance_id, "b", 2)) as deliver:
        future = beside(lambda: commit(plans))
        wait_until_blocked(future)
        deliver()
        (answer,) = future.result(20)
    assert len(answer.waiting.messages) == 1
    assert_due(instance_id)


@WAYS
def test_a_message_that_waits_for_a_commit_finds_the_row_as_the_commit_left_it(*, is_fast: bool) -> None:
    """The commit has the row's lock and sees an empty inbox; who delivers afterwards lowers `due_at` and wakes."""
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    HINTS.clear()
    with held_commit(plans, is_fast=is_fast) as held:
        future = beside(lambda: DurableClient().raise_event(instance_id, "b", 2))
        wait_until_blocked(future, waiters=held.waiters + 1)
        (answer,) = held.finish()
        future.result(20)
    assert answer.waiting.messages == []
    assert_due(instance_id)
    assert HINTS.take() is not None


def test_due_at_is_never_null_while_a_message_waits_however_commits_and_deliveries_fall() -> None:
    instance_id = begin_waiting(*[f"e{n}" for n in range(12)])
    for number in range(0, 12, 2):
        DurableClient().raise_event(instance_id, f"e{number}")
        plans = plan(hold(claim("w").instances), keep=False)
        found = at_once(
            [lambda p=plans: commit(p), lambda n=number: DurableClient().raise_event(instance_id, f"e{n + 1}")]  # type: ignore[misc]
        )
        assert not [f for f in found if isinstance(f, BaseException)]
        assert_due(instance_id)
        turn("w", keep=False)
    assert status_of(instance_id) is Status.COMPLETED


def test_a_timer_leaves_its_instant_as_due_at_and_is_announced_for_then() -> None:
    instance_id = DurableClient().start_new("wait_or_default", client_input=3)
    HINTS.clear()
    turn("w")
    row = schedule_of(instance_id)
    assert row.due_at is not None
    assert clock.now() + timedelta(seconds=2) < row.due_at < clock.now() + timedelta(seconds=4)
    assert HINTS.take() == (row.due_at, row.queue)


# --- a lease is lost


@pytest.fixture
def three() -> list[str]:
    """Instances that wait and have something to take."""
    ids = [begin_waiting("a", "b") for _ in range(3)]
    for instance_id in ids:
        DurableClient().raise_event(instance_id, "a", 1)
    return ids


def test_a_late_commit_of_a_lost_lease_is_dropped_and_its_batch_mates_commit(three: list[str]) -> None:
    plans = plan(hold(claim("slow").instances))
    lost = three[1]
    Schedule.objects.filter(instance__instance_id=lost).update(lease_until=PAST)
    (theirs,) = turn("quick", keep=False)
    before = kinds_of(lost)
    answers = {c.held.facts.instance_id: a for c, a in zip(plans, commit(plans), strict=True)}
    assert theirs.is_dropped is False
    assert {i: a.is_dropped for i, a in answers.items()} == {i: i == lost for i in three}
    assert kinds_of(lost) == before
    assert before.count("EventRaised") == 1
    assert {kinds_of(i).count("EventRaised") for i in three} == {1}


def test_a_lease_that_ran_out_still_commits_while_nobody_else_has_taken_it(three: list[str]) -> None:
    plans = plan(hold(claim("slow").instances))
    Schedule.objects.exclude(lease_until=None).update(lease_until=PAST)
    assert [a.is_dropped for a in commit(plans)] == [False] * 3


def test_the_same_worker_cannot_commit_under_an_epoch_that_it_lost_meanwhile(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    Schedule.objects.exclude(lease_until=None).update(lease_until=PAST)
    for _ in three:
        claim("w")
    assert [a.is_dropped for a in commit(plans)] == [True] * 3
    assert count_events("EventRaised") == 0


def test_two_commits_of_one_claim_at_the_same_moment_consume_each_message_once(three: list[str]) -> None:
    """A zombie and its successor: the row's lock decides, and the epoch tells who is late."""
    slow = plan(hold(claim("slow").instances))
    Schedule.objects.exclude(lease_until=None).update(lease_until=PAST)
    quick = plan([h for _ in three for h in hold(claim("quick").instances)])
    found = at_once([lambda: commit(slow), lambda: commit(quick)])
    late, good = (f if isinstance(f, list) else [] for f in found)
    assert [a.is_dropped for a in late] == [True] * 3
    assert [a.is_dropped for a in good] == [False] * 3
    assert {kinds_of(i).count("EventRaised") for i in three} == {1}


def test_a_worker_goes_on_after_a_hand_back_and_its_commit_changes_nothing(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    HINTS.clear()
    assert run_beside(lambda: leases.hand_back("w")) == 3
    assert [a.is_dropped for a in commit(plans)] == [True] * 3
    drain()
    assert {kinds_of(i).count("EventRaised") for i in three} == {1}


def test_an_instance_that_was_replaced_meanwhile_is_dropped(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    DurableClient().start_new("plain", three[0], if_exists="replace_any")
    answers = {c.held.facts.instance_id: a.is_dropped for c, a in zip(plans, commit(plans), strict=True)}
    assert answers == {three[0]: True, three[1]: False, three[2]: False}
    assert row_of(three[0]).name == "plain"


def test_a_dropped_instance_still_gets_what_its_batch_mate_sends_to_it() -> None:
    receiver = begin_waiting("Go")
    DurableClient().raise_event(receiver, "other", 1)
    DurableClient().start_new("send", client_input=receiver)
    plans = plan(hold(claim("slow").instances))
    Schedule.objects.filter(instance__instance_id=receiver).update(lease_owner="", lease_until=None)
    HINTS.clear()
    answers = {c.held.facts.instance_id: a.is_dropped for c, a in zip(plans, commit(plans), strict=True)}
    assert answers[receiver] is True
    assert sorted(answers.values()) == [False, True]
    assert_due(receiver)
    drain()
    assert status_of(receiver) is Status.COMPLETED


# --- a result is lost


def test_a_result_settled_elsewhere_drops_its_plan_and_the_others_of_it_can_still_be_settled() -> None:
    pk = start("fan_out", 3)
    (answer,) = turn("w", share=Share.LEASED)
    first, second, third = answer.share
    held = _held_after(answer)
    plans = plan(hold(held, [result_of(first, "10"), result_of(second, "20")]))
    # the first one's lease ran out; another worker claims and settles it
    ActivityTask.objects.filter(pk=first.id).update(lease_until=PAST)
    (again,) = claim("other").activities
    assert activities.settle([result_of(again, "1")], "other") == 1
    (dropped,) = commit(plans)
    assert (dropped.is_dropped, len(dropped.results_in_hand)) == (True, 2)
    assert activities.settle(dropped.results_in_hand, "w") == 1
    results = [json.loads(body)["Result"] for body in InboxMessage.objects.values_list("body", flat=True)]
    assert sorted(results) == ["1", "20"]
    assert list(ActivityTask.objects.values_list("pk", flat=True)) == [third.id]
    assert Schedule.objects.get(pk=pk).due_at is not None


def test_an_instance_whose_plan_fell_over_a_lost_result_is_not_left_under_our_lease() -> None:
    """The supervisor renews what a living worker holds, so nobody would ever turn it again."""
    worker = new_worker()
    client = DurableClient()
    instance_id = client.start_new("call", client_input="be_settled_elsewhere")
    Burst(worker, "main.default").run()
    worker.close()
    assert not Schedule.objects.exclude(lease_owner="").exists()
    drain()
    assert client.get_status(instance_id).output == 2
    assert kinds_of(instance_id).count("TaskCompleted") == 1


def test_results_whose_lease_was_lost_come_back_to_be_settled(three: list[str]) -> None:
    start("fan_out", 2)
    answer = next(a for a in turn("w") if a.share)
    held = _held_after(answer)
    results = [result_of(a) for a in answer.share]
    plans = plan(hold(held, results))
    leases.hand_back("w", lambda: {answer.share[0].id})
    (dropped,) = commit(plans)
    assert dropped.results_in_hand == results
    assert activities.settle(dropped.results_in_hand, "w") == 1


def test_a_lease_that_was_lost_without_a_message_taken_drops_its_plan_alone() -> None:
    """Nothing that its plan takes has gone: the lease alone tells, before its history meets that of the other one."""
    pk = start("fan_out", 2)
    (answer,) = turn("w", share=Share.LEASED)
    held = _held_after(answer)
    mate = begin_waiting("a")
    DurableClient().raise_event(mate, "a", 1)
    plans = plan(hold([*held, *claim("w").instances], [result_of(answer.share[0])]))
    Schedule.objects.filter(pk=pk).update(lease_owner="", lease_until=None)
    DurableClient().raise_event(Instance.objects.get(pk=pk).instance_id, "whatever")
    turn("other", keep=False)
    assert [one.is_dropped for one in commit(plans)] == [True, False]
    assert status_of(mate) is Status.COMPLETED


@pytest.mark.parametrize(("share", "is_kept"), [(0.9, True), (0.6, False)])
def test_a_commit_leaves_a_lease_alone_that_the_beat_after_the_next_still_finds(share: float, is_kept: bool) -> None:
    """A beat skips what is locked, and another one may come half a lease later."""
    pk = start("fan_out", 1)
    plans, until = plan(hold(claim("w").instances)), clock.now() + timedelta(seconds=share * LEASE_SECONDS)
    Schedule.objects.filter(pk=pk).update(lease_until=until)
    (answer,) = commit(plans)
    assert answer.is_kept
    assert (Schedule.objects.get(pk=pk).lease_until == until) is is_kept


def _held_after(answer: Committed) -> list[ClaimedInstance]:
    """Return the instance as its holder knows it after the commit."""
    assert answer.is_kept
    assert answer.held is not None
    return [answer.held]


# --- a batch is poisoned


def test_a_poisoned_plan_parks_its_instance_and_the_others_commit(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    bad = plans[1]
    collide(bad)
    answers = commit_safely(plans, clock.now(), "code")
    assert answers is not None
    assert [a.is_dropped for a in answers] == [False, True, False]
    row, status = schedule_of(bad.held.facts.instance_id), status_of(bad.held.facts.instance_id)
    assert (row.blocked, status, row.lease_owner) == ("payload", "Running", "")
    assert [kinds_of(i).count("EventRaised") for i in three] == [int(i != bad.held.facts.instance_id) for i in three]


def test_a_database_error_in_a_commit_leaves_nothing_of_it(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    collide(plans[-1])
    before = (HistoryPart.objects.count(), InboxMessage.objects.count())
    with pytest.raises(DatabaseError):
        commit(plans)
    assert (HistoryPart.objects.count(), InboxMessage.objects.count()) == before


def test_after_a_lost_answer_one_row_tells_whether_the_batch_was_stored(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    numbers = [len(c.plan.events if c.plan else []) for c in plans]
    assert not advance.is_committed(plans[0].held, numbers[0])
    commit(plans)
    assert [advance.is_committed(c.held, n) for c, n in zip(plans, numbers, strict=True)] == [True] * 3


def test_a_message_that_has_gone_drops_the_plan_that_consumed_it_and_its_batch_mates_commit(three: list[str]) -> None:
    plans = plan(hold(claim("w").instances))
    InboxMessage.objects.filter(pk=plans[0].consumed[0]).delete()
    assert [answer.is_dropped for answer in commit(plans)] == [True, False, False]
    assert count_events("EventRaised") == 2


# --- management against a commit


def _terminate(instance_id: str) -> None:
    DurableClient().terminate(instance_id, "enough")


def _suspend(instance_id: str) -> None:
    DurableClient().suspend(instance_id)


@pytest.mark.parametrize(("order", "expected"), [(_terminate, "Terminated"), (_suspend, "Suspended")])
@WAYS
def test_an_order_that_a_commit_waits_for_is_carried_out(
    order: Callable[[str], None], expected: str, *, is_fast: bool
) -> None:
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances), keep=False)
    with held_beside(lambda: order(instance_id)) as finish:
        future = beside(lambda: (commit if is_fast else commit_the_whole_way)(plans))
        wait_until_blocked(future)
        finish()
        future.result(20)
    assert_carried_out(instance_id, expected)


@pytest.mark.parametrize(("order", "expected"), [(_terminate, "Terminated"), (_suspend, "Suspended")])
@WAYS
def test_an_order_that_waits_for_a_commit_is_carried_out(
    order: Callable[[str], None], expected: str, *, is_fast: bool
) -> None:
    instance_id = begin_waiting("a", "b")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances), keep=False)
    with held_commit(plans, is_fast=is_fast) as held:
        future = beside(lambda: order(instance_id))
        wait_until_blocked(future, waiters=held.waiters + 1)
        held.finish()
        future.result(20)
    assert_carried_out(instance_id, expected)


def assert_carried_out(instance_id: str, expected: str) -> None:
    assert_due(instance_id)
    drain()
    assert row_of(instance_id).status == expected
    assert kinds_of(instance_id).count("EventRaised") == 1


@pytest.mark.parametrize("order", [_terminate, _suspend])
def test_an_order_that_reaches_an_instance_as_it_ends_leaves_nothing(order: Callable[[str], None]) -> None:
    """It is accepted, for the instance is live, but the turn that ends it has been run already."""
    instance_id = begin_waiting("a")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    run_beside(lambda: order(instance_id))
    run_beside(lambda: DurableClient().raise_event(instance_id, "b", 1))
    (answer,) = commit(plans)
    assert (answer.is_dropped, answer.is_kept) == (False, False)
    assert status_of(instance_id) is Status.COMPLETED
    assert list(InboxMessage.objects.values_list("kind", flat=True)) == ["EventRaised"]


def test_an_order_that_bears_a_later_instant_than_the_commit_that_it_reaches_leaves_nothing() -> None:
    """The commit has read the clock, and waits for the row that the sender of the order has locked."""
    instance_id = begin_waiting("a")
    DurableClient().raise_event(instance_id, "a", 1)
    plans, before = plan(hold(claim("w").instances)), clock.now()
    run_beside(lambda: DurableClient().terminate(instance_id))
    (answer,) = commit_turns(plans, before, LEASE_SECONDS)
    assert not answer.is_dropped
    assert status_of(instance_id) is Status.COMPLETED
    assert not InboxMessage.objects.exists()


def test_an_order_of_a_sender_whose_clock_is_ahead_leaves_nothing_where_the_turn_ends() -> None:
    instance_id = begin_waiting("a")
    DurableClient().raise_event(instance_id, "a", 1)
    DurableClient().terminate(instance_id)
    InboxMessage.objects.filter(is_control=True).update(not_before=clock.now() + timedelta(seconds=5))
    commit(plan(hold(claim("w").instances)))
    assert status_of(instance_id) is Status.COMPLETED
    assert not InboxMessage.objects.exists()


@WAYS
def test_terminating_what_has_just_completed_is_refused(*, is_fast: bool) -> None:
    instance_id = begin_waiting("a")
    DurableClient().raise_event(instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    with held_commit(plans, is_fast=is_fast) as held:
        future = beside(lambda: DurableClient().terminate(instance_id))
        wait_until_blocked(future, waiters=held.waiters + 1)
        held.finish()
        assert getattr(future.exception(20), "code", "") == "instance.terminal"
    assert not InboxMessage.objects.exists()


def test_an_ended_instance_leaves_no_timer_no_open_activity_and_nothing_due() -> None:
    start("fan_out", 5)
    turn("w", share=False, keep=False)
    DurableClient().terminate(Instance.objects.get().instance_id)
    turn("w", keep=False)
    assert not ActivityTask.objects.exists()
    assert not InboxMessage.objects.exists()
    assert Schedule.objects.get().due_at is None


def test_a_delivery_that_rolls_back_leaves_nothing_and_announces_nothing() -> None:
    instance_id = begin_waiting("a")
    HINTS.clear()

    def give_up() -> None:
        with transaction.atomic():
            DurableClient().raise_event(instance_id, "a", 1)
            raise LookupError

    with pytest.raises(LookupError):
        run_beside(give_up)
    assert HINTS.take() is None
    assert not InboxMessage.objects.exists()
    assert schedule_of(instance_id).due_at is None
    assert connection.in_atomic_block is False


# --- what has ended stays as it is (INS-3)


def test_the_ends_of_children_do_not_bring_a_terminated_parent_back_to_life() -> None:
    client = DurableClient()
    parent = client.start_new("parent", client_input=["a", "b"])
    drain()
    client.terminate(parent, "enough")
    drain()
    assert status_of(parent) is Status.TERMINATED
    assert not [kind for kind in kinds_of(parent) if kind.startswith("SubOrchestrationInstanceFailed")]
    assert not InboxMessage.objects.exists()


def test_a_late_result_does_not_bring_a_terminated_instance_back_to_life() -> None:
    client = DurableClient()
    instance_id = client.start_new("fan_out", client_input=2)
    turn("w", share=False, keep=False)
    mine = claim("w", instances=0).activities
    client.terminate(instance_id, "enough")
    turn("w", keep=False)
    before = kinds_of(instance_id)
    activities.settle([result_of(a) for a in mine], "w")
    drain()
    assert (status_of(instance_id), kinds_of(instance_id)) == (Status.TERMINATED, before)
    assert not ActivityTask.objects.exists()
    assert not InboxMessage.objects.exists()


def test_a_child_that_ends_while_its_parent_is_terminated_keeps_its_end() -> None:
    """The parent's turn has found the child alive; by its commit the child has completed."""
    client = DurableClient()
    parent = client.start_new("parent", client_input=["a"])
    drain()
    child = Instance.objects.get(parent__instance_id=parent).instance_id
    client.terminate(parent)
    plans = plan(hold(claim("w").instances), keep=False)
    client.raise_event(child, "a", 1)
    ending = plan(hold(claim("other").instances), keep=False)
    with held_beside(lambda: commit(ending)) as finish:
        future = beside(lambda: commit(plans))
        wait_until_blocked(future)
        finish()
        future.result(20)
    drain()
    assert status_of(child) is Status.COMPLETED
    assert status_of(parent) is Status.TERMINATED
    assert kinds_of(child).count("ExecutionTerminated") == 0


def test_a_resume_whose_sender_is_ahead_of_the_commit_that_suspends_is_not_forgotten() -> None:
    """A commit reads the clock before it locks, so what is delivered in between bears a later instant than its look."""
    client, instance_id = DurableClient(), begin_waiting()
    client.suspend(instance_id)
    commits = plan(hold(claim("w").instances), keep=False)
    before = clock.now()
    client.resume(instance_id)
    commit_turns(commits, before, LEASE_SECONDS)
    assert schedule_of(instance_id).due_at is not None
    drain()
    assert status_of(instance_id) is Status.RUNNING
