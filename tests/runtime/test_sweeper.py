"""The net for all that is lost: a sweep finds in the database what nobody was told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestrations.client.client import DurableClient
from orchestrations.runtime import hints, queues, wake
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.store import clock
from orchestrations.store.models import Schedule
from tests import servers
from tests.bursts import burst_once
from tests.store.holding import PAST, claim

QUEUE = "main.default"


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    found = Sweeper()
    yield found
    found.close()


def count_hints() -> int:
    return queues.count_hints(QUEUE)


def test_a_sweep_wakes_for_due_work_after_the_queue_was_flushed(
    sweeper: Sweeper, redis_server: servers.RedisServer
) -> None:
    DurableClient().start_new("plain")
    redis_server.flush()
    assert count_hints() == 0
    assert sweeper.sweep() == {QUEUE: 1}
    assert count_hints() == 1


def test_a_sweep_with_nothing_due_wakes_nobody(sweeper: Sweeper) -> None:
    assert sweeper.sweep() == {}
    assert count_hints() == 0


def test_a_queue_that_holds_as_many_hints_as_it_has_workers_is_left_alone(sweeper: Sweeper) -> None:
    DurableClient().start_new("plain")
    queues.connection().delete(hints.token_key(QUEUE, 0))
    assert sweeper.sweep() == {QUEUE: 1}
    assert count_hints() == 1


def test_a_stuck_key_costs_a_second_and_no_more(sweeper: Sweeper, redis_server: servers.RedisServer) -> None:
    DurableClient().start_new("plain")
    redis_server.flush()
    queues.connection().set(hints.token_key(QUEUE, 0), 1, px=50)  # its hint was lost
    sweeper.sweep()
    assert count_hints() == 0
    deadline = time.monotonic() + 5
    while count_hints() == 0 and time.monotonic() < deadline:
        sweeper.sweep()
    assert count_hints() == 1


def test_a_lease_that_has_run_out_is_swept(sweeper: Sweeper, redis_server: servers.RedisServer) -> None:
    DurableClient().start_new("plain")
    claim("gone")
    redis_server.flush()
    assert sweeper.sweep() == {}
    Schedule.objects.exclude(lease_owner="").update(lease_until=PAST)
    assert sweeper.sweep() == {QUEUE: 1}
    assert count_hints() == 1


def test_a_future_instant_that_is_published_is_planned_and_fired(
    sweeper: Sweeper, redis_server: servers.RedisServer
) -> None:
    sweeper.listen(0.5)  # subscribes
    wake.wake(QUEUE, clock.now() + timedelta(seconds=0.3))
    deadline = time.monotonic() + 5
    while sweeper.seconds_to_next() is None and time.monotonic() < deadline:
        sweeper.listen(0.1)
    seconds = sweeper.seconds_to_next()
    assert seconds is not None
    assert 0 <= seconds <= 0.3
    sweeper.fire()
    assert count_hints() == 0
    time.sleep(seconds + 0.01)
    sweeper.fire()
    assert count_hints() == 1
    assert sweeper.seconds_to_next() is None


def test_a_timer_whose_news_was_lost_is_planned_by_the_sweep_before_it(sweeper: Sweeper) -> None:
    DurableClient().start_new("wait_or_default", client_input=1)
    burst_once()
    sweeper.sweep()
    seconds = sweeper.seconds_to_next()
    assert seconds is not None
    assert 0 < seconds <= 1


def test_an_earlier_instant_shortens_the_rest_and_a_later_one_does_not(sweeper: Sweeper) -> None:
    now = clock.now()
    sweeper.plan(QUEUE, now + timedelta(seconds=50))
    sweeper.plan(QUEUE, now + timedelta(seconds=20))
    sweeper.plan(QUEUE, now + timedelta(seconds=40))
    seconds = sweeper.seconds_to_next()
    assert seconds is not None
    assert 19 < seconds <= 20


@pytest.mark.parametrize(
    "news",
    [
        b"",
        b"main.default",
        b"main.default tomorrow",
        b"\xff\xfe 1",
        b"main.default 2020-01-01T00:00:00",
        b"x" * 100_000,
    ],
    ids=["empty", "no instant", "no date", "no text", "no zone", "long"],
)
def test_news_that_make_no_sense_are_not_heard(sweeper: Sweeper, news: bytes) -> None:
    sweeper.listen(0.5)
    queues.connection().publish(hints.CHANNEL, news)
    for _ in range(3):
        sweeper.listen(0.05)
    assert sweeper.seconds_to_next() is None


def test_news_of_the_far_future_are_left_to_a_sweep(sweeper: Sweeper) -> None:
    sweeper.listen(0.5)
    wake.wake(QUEUE, clock.now() + timedelta(days=900))
    for _ in range(3):
        sweeper.listen(0.05)
    assert sweeper.seconds_to_next() is None


def test_without_redis_it_rests_and_hears_again_when_redis_is_back(
    sweeper: Sweeper, redis_server: servers.RedisServer
) -> None:
    sweeper.listen(0.2)
    DurableClient().start_new("plain")
    redis_server.stop()
    assert sweeper.sweep() == {QUEUE: 1}
    sweeper.listen(0.01)
    sweeper.listen(0.01)
    redis_server.start()
    sweeper.sweep()
    assert count_hints() == 1
    deadline = time.monotonic() + 5
    while sweeper.seconds_to_next() is None and time.monotonic() < deadline:
        wake.wake(QUEUE, clock.now() + timedelta(seconds=1))
        sweeper.listen(0.1)
    assert sweeper.seconds_to_next() is not None


@pytest.mark.parametrize("key", [f"rq:queue:{QUEUE}", hints.token_key(QUEUE, 0)])
def test_what_somebody_has_damaged_in_the_queue_is_mended_by_the_next_sweep(sweeper: Sweeper, key: str) -> None:
    DurableClient().start_new("plain")
    queues.connection().flushall()
    queues.connection().set(key, "a text that never lapses")
    sweeper.sweep()
    assert queues.count_hints(QUEUE) == 1
    assert queues.connection().pttl(hints.token_key(QUEUE, 0)) > 0
