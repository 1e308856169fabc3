"""Who claims what, when several do at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection

from orchestrations.client.client import DurableClient
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.store import claims, clock, leases, sql
from orchestrations.store.claims import ClaimLimits
from orchestrations.store.inbox import INBOX
from orchestrations.store.looks import Waiting
from orchestrations.store.models import ActivityTask, Instance, Schedule
from tests.bursts import HINTS, burst_once, status_of
from tests.store.concurrency import at_once, beside, held_beside, run_beside, wait_until_blocked
from tests.store.holding import PAST, claim, start, turn
from tests.taps import Execute

T = TypeVar("T")


def test_two_claims_at_once_never_win_the_same_row() -> None:
    for _ in range(30):
        start()
    found = at_once([lambda: claim("a", instances=20), lambda: claim("b", instances=20)])
    won = [row.row.instance_id for one in found if not isinstance(one, BaseException) for row in one.instances]
    rest = [row.row.instance_id for row in claim("c").instances]
    assert len(won) == len(set(won))
    assert sorted(won + rest) == sorted(Instance.objects.values_list("pk", flat=True))


def test_two_claims_at_once_never_win_the_same_activity() -> None:
    start("fan_out", 40)
    turn("a", share=False, keep=False)
    found = at_once([lambda: claim("b", activities=25), lambda: claim("c", activities=25)])
    won = [row.id for one in found if not isinstance(one, BaseException) for row in one.activities]
    assert len(won) == len(set(won))
    assert len(won) + len(claim("d").activities) == 40


def test_a_claimed_row_is_nobody_elses_until_its_lease_runs_out() -> None:
    start()
    (mine,) = claim("a").instances
    assert not claim("b").instances
    Schedule.objects.exclude(lease_until=None).update(lease_until=PAST)
    (theirs,) = claim("b").instances
    assert (theirs.row.lease_epoch, theirs.row.losses) == (mine.row.lease_epoch + 1, 1)


def test_a_row_whose_lease_ran_out_is_claimed_alone_and_the_queue_is_woken_for_the_others() -> None:
    keys = [start() for _ in range(3)]
    claim("a", instances=1)
    Schedule.objects.exclude(lease_owner="").update(lease_until=PAST)
    HINTS.clear()
    found = claim("b")
    assert (len(found.instances), found.full) == (1, True)
    assert HINTS.take() is not None
    assert {row.row.instance_id for row in claim("c").instances} == set(keys) - {found.instances[0].row.instance_id}


def test_a_claim_beside_a_locked_row_skips_it_and_the_locker_wakes_afterwards() -> None:
    instance_id = DurableClient().start_new("wait_for", client_input=["a"])
    other = start()
    HINTS.clear()
    with held_beside(lambda: DurableClient().raise_event(instance_id, "a", 1)) as commit:
        if connection.vendor == "sqlite":  # a transaction is alone there: the claim waits, and then wins both
            future = beside(lambda: claim("a"))
            wait_until_blocked(future)
            commit()
            assert len(future.result().instances) == 2
            return
        assert [row.row.instance_id for row in claim("a").instances] == [other]
        assert HINTS.take() is None
        commit()
    assert HINTS.take() is not None
    assert [row.facts.instance_id for row in claim("a").instances] == [instance_id]


def test_who_locks_a_due_row_and_writes_nothing_to_it_wakes_for_it_all_the_same() -> None:
    """A repeated result is dropped, but the claim that skipped the row meanwhile must get its chance."""
    if connection.vendor == "sqlite":
        pytest.skip("no claim can skip a row there")
    from orchestrations.store import activities
    from tests.store.holding import result_of

    start("fan_out", 2)
    turn("a", share=False, keep=False)
    one, other = claim("b").activities
    activities.settle([result_of(one)], "b")
    HINTS.clear()
    activities.settle([result_of(one)], "b")  # nothing counts, but the row was locked and is due
    assert HINTS.take() is not None
    assert other.id in ActivityTask.objects.values_list("id", flat=True)


def test_an_empty_claim_wins_nothing_and_wakes_nobody() -> None:
    found = claim("a")
    assert (found.instances, found.activities, found.full) == ([], [], False)
    assert HINTS.take() is None


def test_a_claim_that_stopped_at_its_bound_wakes_the_queue_before_it_runs_anything() -> None:
    for _ in range(3):
        start()
    HINTS.clear()
    assert claim("a", instances=2).full is True
    assert HINTS.take() is not None


def test_leases_handed_back_are_claimed_by_others_without_counting_as_lost() -> None:
    start()
    start("fan_out", 3)
    turn("a")
    assert leases.hand_back("a") == 4
    found = run_beside(lambda: claim("b"))
    assert [row.row.losses for row in found.instances] == []
    assert [row.losses for row in found.activities] == [0, 0, 0]


def test_what_a_dead_worker_held_is_claimed_row_by_row_and_counts_as_lost() -> None:
    for _ in range(3):
        start()
    claim("a")
    leases.lose("a", None, None, clock.now())
    assert [[row.row.losses for row in claim("b").instances] for _ in range(4)] == [[1], [1], [1], []]


def test_renewing_lengthens_the_leases_of_the_living_only_and_not_one_that_has_run_out() -> None:
    for _ in range(3):
        start()
    first, second, third = (claim(owner, instances=1).instances[0].row.instance_id for owner in "abc")
    Schedule.objects.filter(pk=third).update(lease_until=PAST)
    before = dict(Schedule.objects.values_list("pk", "lease_until"))
    now = clock.now()
    leases.renew(["a", "c"], [], now, 300)
    after = dict(Schedule.objects.values_list("pk", "lease_until"))
    assert after[first] == now + timedelta(seconds=300)
    assert (after[second], after[third]) == (before[second], before[third])


def test_renewing_what_a_worker_runs_lengthens_its_own_lease_alone() -> None:
    start("fan_out", 2)
    turn("w", share=False, keep=False)
    (kept,), (taken,) = claim("a", activities=1).activities, claim("b", activities=1).activities
    before = dict(ActivityTask.objects.values_list("pk", "lease_until"))
    now = clock.now()
    leases.renew([], [(kept.id, "a"), (taken.id, "a")], now, 300)
    after = dict(ActivityTask.objects.values_list("pk", "lease_until"))
    assert after[kept.id] == now + timedelta(seconds=300)
    assert after[taken.id] == before[taken.id]


def test_renewing_beside_a_locked_row_does_not_wait_for_it() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("a transaction is alone there")
    instance_id = DurableClient().start_new("wait_for", client_input=["a"])
    claim("a")
    with held_beside(lambda: DurableClient().raise_event(instance_id, "a", 1)):
        leases.renew(["a"], [], clock.now(), 300)


def test_handing_back_locks_rows_in_the_order_of_their_ids() -> None:
    """Else it and a commit could wait for each other."""
    if connection.vendor == "sqlite":
        pytest.skip("there are no row locks")
    names = [DurableClient().start_new("wait_for", client_input=["a"]) for _ in range(2)]
    claim("a")
    Schedule.objects.filter(instance__instance_id=names[0]).update(due_at=PAST)  # now it lies behind the second

    def deliver_to(name: str) -> None:
        DurableClient().raise_event(name, "a", 1)

    from django.db import transaction

    with transaction.atomic():
        deliver_to(names[0])
        future = beside(lambda: leases.hand_back("a"))
        wait_until_blocked(future)
        deliver_to(names[1])
    assert future.result(20) == 2


def test_a_claim_takes_as_much_input_as_its_bound_and_the_queue_is_woken_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "INPUT_CHARACTERS", 100)
    pk = start("fan_out", 5)
    turn("w", share=False, keep=False)
    ActivityTask.objects.filter(instance=pk).update(input='"' + "x" * 58 + '"', size=60)
    HINTS.clear()
    found = claim("w")
    assert len(found.activities) == 2
    assert found.full
    assert HINTS.take() is not None
    assert [len(claim("w").activities) for _ in range(3)] == [2, 1, 0]


ONE_TRANSACTION = pytest.mark.skipif(not sql.is_postgres(), reason="one transaction leases and reads the facts there")


@ONE_TRANSACTION
def test_an_instance_that_is_replaced_between_lease_and_facts_is_left_out_and_its_neighbour_is_not() -> None:
    start("plain", None, instance_id="gone")
    kept = start("plain", None)

    def patiently(action: Callable[[], T]) -> T:
        found = action()
        Instance.objects.filter(instance_id="gone").delete()
        return found

    found = claims.claim(default_queue(), "w", ClaimLimits(10, 10, 30.0), clock.now(), patiently=patiently)
    assert [one.row.instance_id for one in found.instances] == [kept]


def test_a_lock_wait_between_lease_and_look_leaves_no_lease_that_its_worker_does_not_know_of() -> None:
    instance_id = DurableClient().start_new("plain")
    waits: list[str] = []

    def wait_once(execute: Execute, text: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if f"JOIN {INBOX} m" in text and not waits:
            waits.append(text)
            raise OperationalError("database is locked")
        return execute(text, parameters, many, context)

    with connection.execute_wrapper(wait_once):
        burst_once()
    assert len(waits) == 1
    assert status_of(instance_id) is Status.COMPLETED


@pytest.mark.parametrize("is_suspended", [False, True])
def test_a_claim_brings_what_counts_for_the_instance_by_its_status(is_suspended: bool) -> None:
    """To a suspended one only management counts; a running neighbour in the same claim is shown all that waits."""
    client = DurableClient()
    for name in ("x", "neighbour"):
        start("wait_for", ["a"], instance_id=name)
        turn("w", keep=False)
    if is_suspended:
        client.suspend("x")
        burst_once()
    for name in ("x", "neighbour"):
        client.raise_event(name, "a", 1)
    (client.resume if is_suspended else client.suspend)("x")
    found = {one.facts.instance_id: one for one in claim("w").instances}
    shown = {name: sorted(m.kind for m in one.inbox.messages) for name, one in found.items() if one.inbox}
    management = "ExecutionResumed" if is_suspended else "ExecutionSuspended"
    assert shown["x"] == ([management] if is_suspended else ["EventRaised", management])
    assert shown["neighbour"] == ["EventRaised"]


def test_a_claim_shows_nothing_of_what_waits_for_a_suspended_instance_to_be_resumed() -> None:
    """It is due only because a worker was lost that had it in its hands."""
    start("wait_for", ["a"], instance_id="x")
    turn("w", keep=False)
    DurableClient().suspend("x")
    burst_once()
    DurableClient().raise_event("x", "a", 1)
    Schedule.objects.update(lease_owner="lost", lease_until=PAST)
    (found,) = claim("w").instances
    assert (found.facts.status, found.inbox) == (Status.SUSPENDED, Waiting())


def test_a_timer_that_comes_due_while_a_claim_waits_for_locks_is_shown_with_the_events_before_and_after_it() -> None:
    """Else the turn would take an event that came later than the timer, and no time-out."""
    start("wait_or_default", 0.3, instance_id="x")
    turn("w", keep=False)
    DurableClient().raise_event("x", "other", 1)

    def patiently(action: Callable[[], T]) -> T:
        found = action()
        time.sleep(0.35)
        return found

    (found,) = claims.claim(default_queue(), "w", ClaimLimits(10, 10, 30.0), clock.now(), patiently=patiently).instances
    assert found.inbox
    assert [message.kind for message in found.inbox.messages] == ["TimerFired", "EventRaised"]
