"""What a burst keeps is no row, but owed by the lease of its instance: whoever ends that lease makes rows."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from orchestrations import OrchestrationContext, RetryOptions, activity, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime.commits import commit_safely
from orchestrations.store import activities, clock, leases, owed
from orchestrations.store.claimed import ClaimedActivity, ClaimedInstance
from orchestrations.store.models import ActivityTask, HistoryPart, InboxMessage, Instance, Schedule
from orchestrations.store.owed import Place
from tests.bursts import drain, kinds_of, status_of
from tests.store.counting import count_cost
from tests.store.holding import PAST, claim, collide, commit, commit_the_whole_way, hold, plan, result_of, start, turn

COUNTS = pytest.mark.parametrize("count", [1, 100])


def begin(name: str = "fan_out", client_input: Any = 2) -> tuple[ClaimedInstance, list[ClaimedActivity]]:
    """Start an instance and commit its first turn: who holds it, and the activities that its lease owes."""
    start(name, client_input)
    (answer,) = turn("w")
    assert answer.held is not None
    return answer.held, answer.share


def ids(found: list[ClaimedActivity]) -> set[int]:
    return {one.id for one in found}


def rows() -> dict[int, str]:
    """Return id → owner of all activities that are rows."""
    return dict(ActivityTask.objects.values_list("pk", "lease_owner"))


def test_what_a_burst_keeps_is_no_row_until_its_lease_is_given_back() -> None:
    held, (first, second) = begin()
    assert rows() == {}
    assert set(owed.read(held.row.owed)) == {first.id, second.id}
    assert leases.release([held], clock.now(), {first.id}) == 1
    assert rows() == {first.id: "w", second.id: ""}
    assert Schedule.objects.get().owed == ""
    (again,) = claim("other").activities
    assert again == replace(second, epoch=2)


def test_the_lease_owes_what_is_left_of_it_and_what_is_new() -> None:
    """A sequence owes its next step, a fan-out what has not ended."""
    held, (first, second) = begin()
    (answer,) = commit(plan(hold([held], [result_of(first)])))
    assert answer.is_kept
    assert answer.held is not None
    assert set(owed.read(answer.held.row.owed)) == {second.id}
    (answer,) = commit(plan(hold([answer.held], [result_of(second)])))
    assert status_of(held.facts.instance_id) is Status.COMPLETED
    assert not answer.is_kept
    assert rows() == {}


def test_a_slice_that_ends_keeps_the_lease_that_owes_until_it_is_given_back() -> None:
    held, (first, second) = begin()
    (answer,) = commit(plan(hold([held], [result_of(first)]), keep=False))
    assert answer.is_kept
    assert answer.held is not None
    leases.release([answer.held], clock.now())
    assert rows() == {second.id: ""}


def test_the_whole_way_of_a_commit_owes_the_same_as_the_fast_path() -> None:
    start("sequence", 3)
    (answer,) = commit_the_whole_way(plan(hold(claim("w").instances)))
    for _ in range(2):
        assert answer.held is not None
        assert set(owed.read(answer.held.row.owed)) == ids(answer.share)
        (answer,) = commit_the_whole_way(plan(hold([answer.held], [result_of(a) for a in answer.share])))
    assert rows() == {}


def test_a_lease_that_owes_cannot_go_without_its_debts() -> None:
    begin()
    with pytest.raises(IntegrityError), transaction.atomic():
        Schedule.objects.update(lease_owner="", lease_until=None)


def test_a_worker_that_is_stopped_leaves_rows_that_are_free() -> None:
    _, share = begin()
    leases.hand_back("w")
    assert rows() == dict.fromkeys(ids(share), "")
    assert [one.losses for one in claim("other").activities] == [0, 0]


def test_what_a_worker_runs_stays_its_own_when_the_rest_is_taken_and_its_result_counts() -> None:
    held, (first, second) = begin()
    leases.take_back("w", lambda: {first.id})
    assert rows() == {first.id: "w", second.id: ""}
    (dropped,) = commit(plan(hold([held], [result_of(first)])))
    assert dropped.is_dropped
    assert activities.settle(dropped.results_in_hand, "w") == 1
    assert rows() == {second.id: ""}


def test_what_a_worker_was_lost_with_counts_as_lost_and_the_rest_is_free() -> None:
    _, (first, second) = begin()
    lost = leases.lose("w", [], [first.id], clock.now())
    assert (lost.instances, lost.activities) == ([], [first.id])
    assert rows() == {first.id: "w", second.id: ""}
    found = [claim("other").activities for _ in range(2)]
    assert [[(one.id, one.losses) for one in each] for each in found] == [[(first.id, 1)], [(second.id, 0)]]


def test_a_lease_that_has_run_out_is_claimed_with_its_instance_and_its_debts_are_lost_one_by_one() -> None:
    held, share = begin()
    Schedule.objects.update(lease_until=PAST)
    found = claim("other")
    assert [one.row.owed for one in found.instances] == [""]
    assert found.full
    leases.release(found.instances, clock.now())
    for _ in share:
        (again,) = claim("other").activities
        assert again.losses == 1
        assert activities.settle([result_of(again)], "other") == 1
    (dropped,) = commit(plan(hold([held], [result_of(share[0])])))
    assert dropped.is_dropped
    assert activities.settle(dropped.results_in_hand, "w") == 0
    drain()
    assert status_of(held.facts.instance_id) is Status.COMPLETED


def test_a_claim_that_ends_before_it_has_taken_over_the_debts_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _, share = begin()
    Schedule.objects.update(lease_until=PAST)
    with monkeypatch.context() as patched:
        patched.setattr(owed, "take_over", _stop)
        with pytest.raises(KeyboardInterrupt):
            claim("short-lived")
    Schedule.objects.update(lease_until=PAST)
    claim("other")
    assert rows() == dict.fromkeys(ids(share), "")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_dead_workers_commit_that_was_on_its_way_brings_no_debts_back() -> None:
    """The supervisor has made rows of them, to see what the worker ran, and has not let go of the lease yet."""
    held, share = begin()
    plans = plan(hold([held], [result_of(share[0])]))
    leases.hand_over("w")
    assert rows() == dict.fromkeys(ids(share), "w")
    assert activities.find_held(share[0].id, "w") == replace(share[0], input=None, hub="", instance_id="")
    assert [one.is_dropped for one in commit(plans)] == [True]
    assert Schedule.objects.get().owed == ""
    assert leases.lose("w", None, [], clock.now()).instances == [held.row.instance_id]


@COUNTS
def test_giving_back_leases_that_owe_costs_the_same_for_many(count: int) -> None:
    """Lock; read the debts and their events; insert; clear; look; update."""
    for _ in range(count):
        start("fan_out", 3)
    held = [answer.held for answer in turn("w") if answer.held]
    with count_cost() as cost:
        leases.release(held, clock.now(), {key for one in held for key in owed.read(one.row.owed)})
    assert ActivityTask.objects.filter(lease_owner="w").count() == 3 * count
    assert cost.both == (1, 7), str(cost)


def test_a_debt_whose_history_cannot_be_read_parks_its_instance_and_nobody_elses() -> None:
    damaged, _ = begin()
    sound, share = begin("sequence", 1)
    HistoryPart.objects.filter(instance=damaged.row.instance_id).update(body="{")
    leases.hand_back("w")
    assert rows() == dict.fromkeys(ids(share), "")
    DurableClient().raise_event(damaged.facts.instance_id, "whatever")
    drain()
    assert Schedule.objects.get(pk=damaged.row.instance_id).blocked == "payload"
    assert status_of(sound.facts.instance_id) is Status.COMPLETED


def test_an_event_of_an_unknown_kind_costs_its_neighbours_nothing() -> None:
    """A newer version has written it, and an older one hands over."""
    _, share = begin()
    part = HistoryPart.objects.get()
    HistoryPart.objects.update(body=f'{part.body},{{"EventType":"FromTheFuture"}}')
    leases.hand_back("w")
    assert rows() == dict.fromkeys(ids(share), "")


def test_a_plan_that_the_database_refuses_leaves_its_results_and_what_is_in_hand_to_the_burst() -> None:
    held, (first, second) = begin()
    plans = plan(hold([held], [result_of(first)]))
    collide(plans[0])
    (answer,) = commit_safely(plans, clock.now(), "code", {first.id, second.id}) or []
    assert answer.is_dropped
    assert rows() == dict.fromkeys((first.id, second.id), "w")
    assert Schedule.objects.get().blocked == "payload"
    assert activities.settle(answer.results_in_hand, "w") == 1


def test_an_end_whose_lease_was_lost_is_dropped_though_its_debts_are_rows_by_now() -> None:
    held, (first, _) = begin("leave_two", "complete")
    plans = plan(hold([held], [result_of(first)]))
    leases.hand_back("w")
    assert [one.is_dropped for one in commit(plans)] == [True]
    assert status_of(held.facts.instance_id) is Status.RUNNING


def test_a_continued_execution_is_committed_once_however_often_its_commit_arrives() -> None:
    """It takes no message and no row away, and its history goes: only the execution tells that it was stored."""
    held, (first, second) = begin("leave_two", "continue")
    plans = plan(hold([held], [result_of(first)]))
    assert [one.is_dropped for _ in range(2) for one in commit(plans)] == [False, True]
    assert rows() == {second.id: "w"}


def test_the_columns_text_says_where_each_event_is() -> None:
    debts = {7: Place(3, 0), 2**62: Place(3, 1)}
    assert owed.read(owed.write(debts)) == debts
    assert (owed.write({}), owed.read("")) == ("", {})


# --- an execution ends while its lease owes something


@orchestrator
def leave_two(context: OrchestrationContext, how: str) -> Generator[Any, Any, Any]:
    """Begin two activities, wait for the first, and end."""
    first, _ = context.call_activity("echo", 1), context.call_activity("echo", 2)
    yield first
    if how == "continue":
        context.continue_as_new("complete")
    return how


@pytest.mark.parametrize("how", ["complete", "continue"])
def test_what_an_ended_execution_leaves_is_carried_out(how: str) -> None:
    """ORC-6, CAN-3: also where its history has gone."""
    held, (first, second) = begin("leave_two", how)
    (answer,) = commit(plan(hold([held], [result_of(first)])))
    assert rows() == {second.id: "w"}
    assert Schedule.objects.get().owed == ""
    assert ActivityTask.objects.get().input == "2"
    assert activities.settle([result_of(second)], "w") == 1
    if answer.is_kept:
        assert answer.held is not None
        leases.release([answer.held], clock.now())
    drain()
    assert status_of(held.facts.instance_id) is Status.COMPLETED
    assert rows() == {}


def test_what_a_terminated_execution_has_in_hand_stays_a_row() -> None:
    held, share = begin("leave_two", "complete")
    DurableClient().terminate(held.facts.instance_id, "enough")
    leases.release([held], clock.now(), ids(share))
    (answer,) = turn("other")
    assert not answer.is_dropped
    assert rows() == dict.fromkeys(ids(share), "w")


def test_what_ends_at_once_owes_nothing() -> None:
    start("begin_and_end", None)
    (answer,) = turn("w")
    assert rows() == dict.fromkeys(ids(answer.share), "w")
    assert activities.settle([result_of(one) for one in answer.share], "w") == 1


@orchestrator
def begin_and_end(context: OrchestrationContext) -> str:
    """Begin an activity and do not wait for it."""
    context.call_activity("echo", 1)
    return "done"


# --- a burst


def test_a_burst_makes_no_row_for_a_step_and_rows_for_what_may_run_at_most_once_or_in_a_lane(settings: Any) -> None:
    settings.DURABLE_THREADS = 1
    instance_id = DurableClient().start_new("call", client_input="count_rows")
    drain()
    assert DurableClient().get_status(instance_id).output == 0
    instance_id = DurableClient().start_new("call", client_input="count_rows_once")
    drain()
    assert DurableClient().get_status(instance_id).output == 1
    instance_id = DurableClient().start_new("call", client_input="count_rows_in_a_lane")
    drain()
    assert DurableClient().get_status(instance_id).output == 1


@activity
def count_rows(_: Any) -> int:
    """Return how many activities are rows while this one runs."""
    return ActivityTask.objects.count()


@activity(at_most_once=True)
def count_rows_once(_: Any) -> int:
    """Return the same; what may run at most once is one."""
    return ActivityTask.objects.count()


@activity(thread=True)
def count_rows_in_a_lane(_: Any) -> int:
    """Return the same; what a lane runs outlives the burst."""
    return ActivityTask.objects.count()


def test_a_result_that_meets_a_suspended_instance_waits_in_its_inbox(settings: Any) -> None:
    settings.DURABLE_RESULT_GROUP_SECONDS = 0.0  # a turn after each activity
    instance_id = DurableClient().start_new("suspend_and_echo")
    drain()
    assert status_of(instance_id) is Status.SUSPENDED
    assert rows() == {}
    assert kinds_of(instance_id).count("TaskCompleted") == 1
    assert InboxMessage.objects.filter(kind="TaskCompleted").count() == 1
    DurableClient().resume(instance_id)
    drain()
    assert DurableClient().get_status(instance_id).output == ["done", "b"]


@orchestrator
def suspend_and_echo(context: OrchestrationContext) -> Generator[Any, Any, Any]:
    """Begin two activities, of which the first one suspends this instance."""
    both = [context.call_activity("suspend_its_instance"), context.call_activity("echo", "b")]
    return (yield context.task_all(both))


@activity
def suspend_its_instance(_: Any) -> str:
    """Suspend whoever has asked for this."""
    DurableClient().suspend(Instance.objects.get(status="Running").instance_id)
    return "done"


def test_an_attempt_after_the_first_keeps_its_number() -> None:
    instance_id = DurableClient().start_new("try_twice")
    drain()
    assert DurableClient().get_status(instance_id).output == 2


@orchestrator
def try_twice(context: OrchestrationContext) -> Generator[Any, Any, Any]:
    """Call what fails the first time."""
    return (yield context.call_activity("tell_its_attempt", retry=RetryOptions(0.01, 2)))


@activity
def tell_its_attempt(_: Any) -> int:
    """Become a row, and return which attempt that is; the first one fails."""
    owner = Schedule.objects.exclude(owed="").get().lease_owner
    leases.hand_back(owner, lambda: set(ActivityTask.objects.values_list("pk", flat=True)))
    attempt = ActivityTask.objects.get().attempt
    if attempt == 1:
        raise ConnectionError("not yet")
    return attempt
