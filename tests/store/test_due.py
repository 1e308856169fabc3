"""What the sweeper asks."""

from __future__ import annotations

from datetime import timedelta

from orchestrations.store import clock, due
from orchestrations.store.due import COUNT_LIMIT
from orchestrations.store.models import ActivityTask, Schedule
from tests.store.holding import PAST, claim, start, turn


def test_what_is_due_and_nobodys_is_counted_by_queue() -> None:
    start("fan_out", 3)
    turn("w", share=False, keep=False)
    for _ in range(2):
        start()
    assert due.count_due(clock.now()) == {"main.default": 5}
    claim("w", activities=1, instances=1)
    assert due.count_due(clock.now()) == {"main.default": 3}


def test_a_lease_that_has_run_out_counts_and_what_is_due_later_does_not() -> None:
    start()
    claim("w")
    assert due.count_due(clock.now()) == {}
    Schedule.objects.exclude(lease_until=None).update(lease_until=PAST)
    assert due.count_due(clock.now()) == {"main.default": 1}
    Schedule.objects.update(lease_until=None, due_at=clock.now() + timedelta(seconds=5))
    assert due.count_due(clock.now()) == {}


def test_a_queue_with_a_long_backlog_does_not_hide_another() -> None:
    """Counting stops at a bound, but for each queue by itself."""
    pk = start()
    turn("w", keep=False)
    now = clock.now()
    task = {"instance_id": pk, "execution": "e", "name": "echo", "created_at": now, "due_at": now}
    ActivityTask.objects.bulk_create(
        ActivityTask(queue="main.default", sequence=n, **task) for n in range(COUNT_LIMIT + 5)
    )
    ActivityTask.objects.create(queue="main.zebra", sequence=0, **task)
    assert due.count_due(now) == {"main.default": COUNT_LIMIT, "main.zebra": 1}


def test_the_next_due_instant_of_each_queue_is_found_up_to_the_horizon() -> None:
    start("wait_or_default", 5)
    start("wait_or_default", 60)
    turn("w", keep=False)
    first = Schedule.objects.order_by("due_at").values_list("due_at", flat=True)[0]
    now = clock.now()
    assert due.list_upcoming(now, now + timedelta(seconds=10))[0] == ("main.default", first)
    assert due.list_upcoming(now, now + timedelta(seconds=1)) == []
