"""Hints over the real Valkey: one for many wakes, none that raises."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from orchestrations.client.client import DurableClient
from orchestrations.runtime import hints, jobs, queues, wake
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.store import clock
from orchestrations.store.models import Instance
from tests import servers
from tests.bursts import new_worker

QUEUE = "main.default"


@pytest.fixture(autouse=True)
def _nobody_listens() -> None:
    wake._listeners.clear()


def waiting() -> list[str]:
    """The ids of the jobs that wait in the queue."""
    return list(queues.queue_of(QUEUE).job_ids)


def test_many_wakes_leave_one_key_and_one_hint() -> None:
    for _ in range(20):
        wake.wake(QUEUE)
    assert waiting() == ["main-default-0"]
    connection = queues.connection()
    assert connection.keys("durable:wake:*") == [hints.token_key(QUEUE, 0).encode()]
    assert 0 < connection.pttl(hints.token_key(QUEUE, 0)) <= 1000


def test_many_starts_leave_one_hint() -> None:
    for _ in range(10):
        DurableClient().start_new("plain")
    assert len(waiting()) == 1


def test_nothing_is_said_before_commit_or_after_a_rollback() -> None:
    with transaction.atomic():
        DurableClient().start_new("plain")
        assert waiting() == []
        transaction.set_rollback(True)
    assert waiting() == []
    assert not Instance.objects.exists()


def test_a_job_deletes_its_key_before_it_claims() -> None:
    """So who finds the key has committed before that claim: here a wake in the middle of the burst sets it anew."""
    DurableClient().start_new("plain")
    worker = new_worker()
    seen: list[bool] = []

    class Looking(Burst):
        def run(self) -> None:
            seen.append(bool(queues.connection().exists(hints.token_key(QUEUE, 0))))
            super().run()

    attendance = Attendance(QUEUE, worker.owner)
    jobs.take_hint(0, attendance, Looking(worker, QUEUE, attendance))
    worker.close()
    assert seen == [False]
    assert Instance.objects.get().status == "Completed"


def test_a_wake_after_the_key_lapsed_or_was_deleted_hints_again() -> None:
    wake.wake(QUEUE)
    assert hints.take(QUEUE, None) is not None  # and lost
    wake.wake(QUEUE)
    assert waiting() == []
    queues.connection().delete(hints.token_key(QUEUE, 0))
    wake.wake(QUEUE)
    assert len(waiting()) == 1


def test_a_hint_and_its_key_are_there_together_or_not_at_all() -> None:
    """Where the queue is damaged no key is left that would keep others from hinting; it is mended by the next sweep."""
    queues.connection().set(queues.queue_of(QUEUE).key, "no list")
    wake.wake(QUEUE)
    assert not queues.connection().exists(hints.token_key(QUEUE, 0))
    queues.heal(QUEUE)
    wake.wake(QUEUE)
    assert waiting() == ["main-default-0"]


@pytest.mark.parametrize("seconds", [None, 864_000], ids=["for ever", "for days"])
@pytest.mark.parametrize("token", [0, 1])
def test_a_key_that_is_not_ours_holds_up_nothing(token: int, seconds: int | None) -> None:
    """Somebody has set one that lives too long, for whichever of the hints."""
    queues.connection().set(hints.token_key(QUEUE, token), 1, ex=seconds)
    wake._listeners[QUEUE] = (float("inf"), 3)
    wake.wake(QUEUE, items=1000)
    assert len(waiting()) == 3
    assert 0 < queues.connection().pttl(hints.token_key(QUEUE, token)) <= 1000


def test_a_damaged_queue_is_left_without_a_trace_of_the_hint() -> None:
    queues.connection().set(queues.queue_of(QUEUE).key, "no list")
    wake.wake(QUEUE)
    assert not [key for key in queues.connection().keys("*") if b"job" in key or b"wake" in key]


def test_a_damaged_list_of_queues_is_only_that() -> None:
    queues.connection().set("rq:queues", "no set")
    wake.wake(QUEUE)
    assert waiting() == ["main-default-0"]


def test_a_hint_that_a_killed_worker_has_taken_leaves_nothing_that_the_next_does_not_remove() -> None:
    for _ in range(2):
        wake.wake(QUEUE)
        assert hints.take(QUEUE, None) == b"main-default-0"
        queues.connection().delete(hints.token_key(QUEUE, 0))
    wake.wake(QUEUE)
    hints.take(QUEUE, None)
    hints.accept(QUEUE, 0, "w")
    left = [key for key in queues.connection().keys("*") if b"job" in key or b"wake" in key]
    assert left == []


def test_a_wide_wake_hints_once_for_each_worker_that_listens_and_no_more_than_claims_need() -> None:
    wake._listeners[QUEUE] = (float("inf"), 3)
    wake.wake(QUEUE, items=1000)
    assert sorted(waiting()) == [f"main-default-{token}" for token in range(3)]
    wake.wake(QUEUE, items=1000)
    assert len(waiting()) == 3
    queues.connection().flushall()
    wake.wake(QUEUE, items=150)  # two claims of a hundred
    assert len(waiting()) == 2
    queues.connection().flushall()
    wake.wake(QUEUE, items=100)
    assert len(waiting()) == 1


def test_an_instant_in_the_future_is_published_and_not_hinted() -> None:
    listener: Any = queues.connection().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listener.subscribe(hints.CHANNEL)
    listener.get_message(timeout=1.0)
    at = clock.now() + timedelta(seconds=30)
    wake.wake(QUEUE, at)
    message = listener.get_message(timeout=2.0)
    listener.close()
    assert message is not None
    assert message["data"].decode() == f"{QUEUE} {at.isoformat()}"
    assert waiting() == []


def test_an_instant_in_the_past_is_hinted() -> None:
    wake.wake(QUEUE, clock.now() - timedelta(seconds=1))
    assert len(waiting()) == 1


def test_without_redis_a_request_is_still_committed(redis_server: servers.RedisServer) -> None:
    redis_server.stop()
    wake.wake(QUEUE)
    wake.wake(QUEUE, items=1000)
    wake.wake(QUEUE, clock.now() + timedelta(seconds=5))
    instance_id = DurableClient().start_new("wait_for", client_input=["a"])
    assert DurableClient().raise_event(instance_id, "a", 1) is True
    assert Instance.objects.count() == 1


def test_a_queue_that_does_not_answer_holds_up_one_wake_and_not_the_next(
    redis_server: servers.RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops packets: requests commit, and do not wait for each of their wakes."""
    monkeypatch.setattr(wake, "_silent_until", 0.0)
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        wake.wake(QUEUE)
        assert time.monotonic() - began < 3.0
        began = time.monotonic()
        for _ in range(10):
            wake.wake(QUEUE)
        assert time.monotonic() - began < 0.5
    finally:
        redis_server.process.send_signal(signal.SIGCONT)


def test_one_queue_s_address_serves_hubs_that_no_setting_lists() -> None:
    queues.connection.cache_clear()
    with override_settings(DURABLE_HUB="elsewhere"):
        assert queues.connection().ping() is True
    queues.connection.cache_clear()
