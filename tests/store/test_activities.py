"""Activities: settled once, given back, deferred; several workers at once."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store import activities, clock, leases
from orchestrations.store.models import ActivityTask, InboxMessage, Schedule
from tests.bursts import HINTS, drain, status_of
from tests.store.concurrency import at_once, beside, wait_until_blocked
from tests.store.holding import PAST, claim, result_of, schedule_of, start, turn


def test_two_outcomes_of_one_attempt_at_the_same_moment_count_once() -> None:
    start("call", "echo")
    turn("w", share=False, keep=False)
    (slow,) = claim("slow").activities
    ActivityTask.objects.update(lease_until=PAST)
    (quick,) = claim("quick").activities
    found = at_once(
        [
            lambda: activities.settle([result_of(slow, "1")], "slow"),
            lambda: activities.settle([result_of(quick, "2")], "quick"),
        ]
    )
    assert found == [0, 1]
    assert [json.loads(body)["Result"] for body in InboxMessage.objects.values_list("body", flat=True)] == ["2"]


def test_an_outcome_settled_again_does_not_count() -> None:
    start("call", "echo")
    turn("w", share=False, keep=False)
    (mine,) = claim("w").activities
    assert activities.settle([result_of(mine)], "w") == 1
    assert activities.settle([result_of(mine)], "w") == 0
    assert InboxMessage.objects.count() == 1


def test_results_of_one_instance_settled_by_two_workers_at_once_all_arrive() -> None:
    instance_id = DurableClient().start_new("fan_out", client_input=20)
    turn("w", share=False, keep=False)
    first, second = claim("a", activities=10).activities, claim("b", activities=10).activities
    found = at_once(
        [
            lambda: activities.settle([result_of(a, "1") for a in first], "a"),
            lambda: activities.settle([result_of(a, "1") for a in reversed(second)], "b"),
        ]
    )
    assert found == [10, 10]
    assert schedule_of(instance_id).due_at is not None
    drain()
    assert DurableClient().get_status(instance_id).output == 20


def test_an_outcome_for_an_instance_that_was_replaced_is_dropped() -> None:
    DurableClient().start_new("call", "same", "echo")
    turn("w", share=False, keep=False)
    (mine,) = claim("w").activities
    DurableClient().start_new("wait_for", "same", ["a"], if_exists="replace_any")
    assert activities.settle([result_of(mine)], "w") == 0
    assert InboxMessage.objects.exclude(kind="ExecutionStarted").count() == 0


def test_what_was_put_back_can_be_claimed_and_does_not_count_as_lost() -> None:
    start("fan_out", 3)
    turn("w", share=False, keep=False)
    mine = claim("w").activities
    HINTS.clear()
    activities.put_back(mine[1:], "w")
    assert HINTS.take() is not None
    assert [(a.id, a.losses) for a in claim("b").activities] == [(a.id, 0) for a in mine[1:]]


def test_what_another_holds_cannot_be_put_back() -> None:
    start("call", "echo")
    turn("w", share=False, keep=False)
    mine = claim("w").activities
    ActivityTask.objects.update(lease_until=PAST)
    claim("b")
    activities.put_back(mine, "w")
    assert ActivityTask.objects.get().lease_owner == "b"
    activities.put_back([], "w")


def test_an_attempt_that_nobody_can_run_is_put_aside_and_its_instance_has_changed() -> None:
    pk = start("call", "echo")
    turn("w", share=False, keep=False)
    (mine,) = claim("w").activities
    before = Schedule.objects.get(pk=pk).revision
    activities.block(mine, "w")
    row = ActivityTask.objects.get()
    assert (row.blocked, row.lease_owner) == ("missing-function", "")
    assert Schedule.objects.get(pk=pk).revision == before + 1
    assert not claim("w").activities


def test_an_attempt_that_nobody_can_run_goes_with_its_instances_end() -> None:
    instance_id = DurableClient().start_new("call", client_input="echo")
    turn("w", share=False, keep=False)
    (mine,) = claim("w").activities
    DurableClient().terminate(instance_id)
    turn("w", keep=False)
    activities.block(mine, "w")
    assert not ActivityTask.objects.exists()


def test_new_code_makes_due_what_was_deferred_or_parked_under_other_code() -> None:
    instance_id = DurableClient().start_new("call", client_input="echo")
    turn("w", share=False, keep=False)
    (mine,) = claim("w").activities
    activities.block(mine, "w")
    start()
    (parked,) = claim("w").instances
    leases.park(parked, leases.Mark("missing-function", "Nobody has it.", "old"), clock.now())
    assert leases.retry_blocked("old", clock.now()) == 1  # the activity does not say under which code
    assert leases.retry_blocked("new", clock.now()) == 1
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_a_parked_instance_is_tried_again_ever_more_rarely() -> None:
    start()
    pauses = []
    for _ in range(9):
        Schedule.objects.update(due_at=PAST)
        (held,) = claim("w").instances
        now = clock.now()
        leases.park(held, leases.Mark("payload", "It cannot be read.", "code"), now)
        due_at = Schedule.objects.get().due_at
        assert due_at is not None
        pauses.append(round((due_at - now).total_seconds()))
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert json.loads(Schedule.objects.get().blocked_detail)["tries"] == 9


def test_parking_under_a_lost_lease_changes_nothing() -> None:
    start()
    (held,) = claim("w").instances
    leases.hand_back("w")
    leases.park(held, leases.Mark("payload", "It cannot be read.", "code"), clock.now())
    assert Schedule.objects.get().blocked == ""


@pytest.mark.parametrize("verb", ["settle", "put back"])
def test_activities_are_locked_in_the_order_of_their_ids(verb: str) -> None:
    """Whoever locks the first and then wants the second never meets somebody who has them the other way round."""
    if connection.vendor == "sqlite":
        pytest.skip("there are no row locks")
    start("fan_out", 2)
    turn("somebody", share=False, keep=False)
    found = sorted(claim("w").activities, key=lambda activity: -activity.id)

    def work() -> int:
        if verb == "settle":
            return activities.settle([result_of(a, "1") for a in found], "w")
        activities.put_back(found, "w")
        return 2

    with transaction.atomic():
        ActivityTask.objects.select_for_update().get(pk=found[1].id)
        future = beside(work)
        wait_until_blocked(future)
        ActivityTask.objects.select_for_update(nowait=True).get(pk=found[0].id)  # it is nobody's yet
    assert future.result(20) == 2


def test_what_is_put_back_is_offered_again_and_blamed_for_nothing() -> None:
    start("fan_out", 2)
    turn("somebody", share=False, keep=False)
    activities.put_back(claim("w").activities, "w")
    assert set(ActivityTask.objects.values_list("lease_owner", "losses")) == {("", 0)}
    assert len(claim("w").activities) == 2
