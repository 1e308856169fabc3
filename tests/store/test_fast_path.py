"""Turns that touch nobody else are committed by one compare-and-set, and by the whole way where anything has come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store import activities, clock, guarded, looks, sql
from orchestrations.store.activities import ACTIVITY
from orchestrations.store.batch import Share, TurnCommit
from orchestrations.store.commit import commit_turns
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.models import ActivityTask, InboxMessage, Schedule
from tests.bursts import drain, kinds_of, status_of
from tests.histories import count_events
from tests.store.concurrency import at_once, beside, held_beside, run_beside, wait_until_blocked
from tests.store.counting import count_cost
from tests.store.holding import PAST, claim, commit, hold, plan, result_of, schedule_of, start, turn


def plan_event(name: str = "x", *waits: str) -> list[TurnCommit]:
    """Return the plan of a turn that takes one event."""
    DurableClient().start_new("wait_for", name, list(waits or ("a", "b")))
    turn("begin", keep=False)
    DurableClient().raise_event(name, "a", 1)
    return plan(hold(claim("w").instances))


def plan_result(count: int = 1, share: Share = Share.OWED) -> list[TurnCommit]:
    """Return the plans of turns that take the result of an own activity each."""
    for _ in range(count):
        start("sequence", 3)
    answers = turn("w", share=share)
    held = [answer.held for answer in answers if answer.held is not None]
    return plan(hold(held, [result_of(activity) for answer in answers for activity in answer.share]))


def looks_taken(plans: list[TurnCommit]) -> int:
    """Commit, and return how many statements have looked into the inboxes: the fast path has none."""
    with count_cost() as cost:
        answers = commit(plans)
    assert not any(answer.is_dropped for answer in answers)
    return sum("min(l.not_before)" in text for text in cost.texts)


# --- what counts as an arrival


def _settle_elsewhere(name: str) -> None:
    activities.settle([result_of(activity) for activity in claim("other", instances=0).activities], "other")


@pytest.mark.parametrize(
    ("orchestrator", "value", "deliver"),
    [
        ("wait_for", ["a", "b"], lambda name: DurableClient().raise_event(name, "a", 1)),
        ("wait_for", ["a", "b"], lambda name: DurableClient().suspend(name)),
        ("wait_for", ["a", "b"], lambda name: DurableClient().terminate(name, "enough")),
        ("call", "echo", _settle_elsewhere),
        ("parent", ["a"], lambda name: _end_child_of(name)),
    ],
    ids=["event", "suspend", "terminate", "result", "outcome of a child"],
)
def test_whatever_others_put_into_an_inbox_counts(
    orchestrator: str, value: Any, deliver: Callable[[str], object]
) -> None:
    DurableClient().start_new(orchestrator, "x", value)
    turn("w", share=False, keep=False)
    if orchestrator == "parent":
        turn("w", keep=False)
    before = schedule_of("x").arrivals
    deliver("x")
    assert schedule_of("x").arrivals > before


def _end_child_of(name: str) -> None:
    children = Schedule.objects.filter(instance__parent__instance_id=name)
    DurableClient().raise_event(children.values_list("instance__instance_id", flat=True).get(), "a", 1)
    drain()


def test_an_event_from_another_orchestration_counts() -> None:
    DurableClient().start_new("wait_for", "x", ["a", "b"])
    turn("w", keep=False)
    before = schedule_of("x").arrivals
    DurableClient().start_new("send", "sender", "x")
    turn("w", keep=False)
    assert schedule_of("x").arrivals == before + 1


# --- the fast way and the whole way come to the same


def test_a_turn_that_touches_nobody_else_takes_no_look() -> None:
    assert looks_taken(plan_event()) == 0
    assert looks_taken(plan_result(3)) == 0
    assert looks_taken(plan_result(3, Share.LEASED)) == 0


def test_what_has_come_since_the_look_is_looked_at() -> None:
    plans = plan_event()
    run_beside(lambda: DurableClient().raise_event("x", "b", 2))
    assert looks_taken(plans) == 1
    assert schedule_of("x").lease_owner == "w"
    assert kinds_of("x").count("EventRaised") == 1


def test_the_batch_mates_of_what_has_come_go_the_whole_way_too_and_lose_nothing() -> None:
    plans = plan_result(3)
    late = plans[1].held.facts.instance_id
    run_beside(lambda: DurableClient().raise_event(late, "a", 1))
    assert looks_taken(plans) == 1
    assert count_events("TaskCompleted") == 3
    assert InboxMessage.objects.count() == 1


def test_a_delivery_that_holds_the_row_is_waited_for_and_seen() -> None:
    plans = plan_event()
    with held_beside(lambda: DurableClient().raise_event("x", "b", 2)) as deliver:
        future = beside(lambda: commit(plans))
        wait_until_blocked(future)
        deliver()
        (answer,) = future.result(20)
    assert [message.kind for message in answer.waiting.messages] == ["EventRaised"]
    assert schedule_of("x").due_at is not None


def test_however_deliveries_and_commits_fall_none_is_forgotten() -> None:
    names = [f"e{n}" for n in range(16)]
    DurableClient().start_new("wait_for", "x", names)
    turn("w", keep=False)
    for number in range(0, 16, 2):
        DurableClient().raise_event("x", names[number])
        plans = plan(hold(claim("w").instances), keep=False)
        found = at_once(
            [lambda p=plans: commit(p), lambda n=number: DurableClient().raise_event("x", names[n + 1])]  # type: ignore[misc]
        )
        assert not [one for one in found if isinstance(one, BaseException)]
        assert schedule_of("x").due_at is not None
        turn("w", keep=False)
    assert status_of("x") is Status.COMPLETED


def test_a_miss_writes_nothing() -> None:
    plans = plan_result(2, Share.LEASED)
    ActivityTask.objects.filter(instance_id=plans[1].key).update(lease_owner="thief", lease_until=PAST)
    before = {row.pk: (row.position, row.revision) for row in Schedule.objects.all()}
    answers = commit(plans)
    assert [answer.is_dropped for answer in answers] == [False, True]
    after = {row.pk: (row.position, row.revision) for row in Schedule.objects.all()}
    assert after[plans[1].key] == before[plans[1].key]
    assert after[plans[0].key] != before[plans[0].key]
    assert count_events("TaskCompleted") == 1


def test_a_message_that_somebody_has_taken_away_is_missed() -> None:
    plans = plan_event()
    InboxMessage.objects.all().delete()
    (answer,) = commit(plans)
    assert answer.is_dropped
    assert kinds_of("x").count("EventRaised") == 0


def test_a_timer_that_comes_due_before_the_commit_is_seen_by_it() -> None:
    DurableClient().start_new("wait_or_default", "x", 30.0)
    plans = plan(hold(claim("w").instances))
    (answer,) = commit_turns(plans, clock.now() + timedelta(minutes=1), 30.0)
    assert [message.kind for message in answer.waiting.messages] == ["TimerFired"]


def test_a_timer_is_known_without_a_look() -> None:
    DurableClient().start_new("wait_or_default", "x", 30.0)
    plans = plan(hold(claim("w").instances), keep=False)
    assert looks_taken(plans) == 0
    assert schedule_of("x").due_at == InboxMessage.objects.get(kind="TimerFired").not_before


def test_what_a_cut_look_has_not_shown_is_looked_for() -> None:
    DurableClient().start_new("wait_for", "x", ["a"] * 3)
    for number in range(looks.FIRST_MESSAGES + 2):
        DurableClient().raise_event("x", "b", number)
    plans = plan(hold(claim("w").instances), keep=False)
    assert looks_taken(plans) == 1
    drain()
    assert kinds_of("x").count("EventRaised") == looks.FIRST_MESSAGES + 2


# --- guarded writes


def test_guards_lock_the_instances_before_their_activities() -> None:
    """Whoever wants both takes the instance first, so nobody waits for us while we wait for him."""
    if not sql.is_postgres():
        pytest.skip("a transaction is alone there")
    plans = plan_result(1, Share.LEASED)
    activity = plans[0].results[0].activity.id

    def lock_both() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {SCHEDULE} WHERE instance_id = %s FOR NO KEY UPDATE", [plans[0].key])

    with held_beside(lock_both) as finish:
        future = beside(lambda: commit(plans))
        wait_until_blocked(future)
        run_beside(lambda: sql.fetch(f"SELECT 1 FROM {ACTIVITY} WHERE id = %s FOR UPDATE NOWAIT", [activity]))
        finish()
        (answer,) = future.result(20)
    assert not answer.is_dropped


def test_guarded_writes_refuse_to_be_made_in_a_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match=r"outside of any transaction|durable"):
        guarded.write([guarded.delete(ACTIVITY, "id = %s", [0], 0)])


def test_the_clock_of_the_fast_path_is_the_commits() -> None:
    """What keeps its lease keeps it for a whole lease from the commit on."""
    plans = plan_result()
    commit(plans)
    until = Schedule.objects.get(pk=plans[0].key).lease_until
    assert until is not None
    assert until > clock.now() + timedelta(seconds=15)
