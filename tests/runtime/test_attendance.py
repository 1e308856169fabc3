"""Who attends to a queue: hints ring for it alone, others sleep until they are called, and nobody waits for it long."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime import hints, jobs, queues, wake
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.store import claims
from orchestrations.store.claims import ClaimLimits
from tests.bursts import new_worker, status_of
from tests.workers import run_workers, wait_until

QUEUE = "main.default"
RING = b"main-default-0"
ALL = ClaimLimits(100, 100, 30.0)


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does anybody's attendance lapse, however slow the machine is."""
    wake._listeners.clear()
    monkeypatch.setattr(hints, "ATTENDED_MILLISECONDS", 60_000)


def attend(owner: str = "w") -> Attendance:
    """Return the attendance of a worker that has taken the queue's hint."""
    attendance = Attendance(QUEUE, owner)
    wake.wake(QUEUE)
    assert attendance.take(None) == RING
    attendance.accept(0)
    assert queues.connection().get(hints.attended_key(QUEUE)) == owner.encode()
    return attendance


def lapse() -> None:
    """Let the attendance lapse, as it does while the worker runs something long, and when it is killed."""
    queues.connection().delete(hints.attended_key(QUEUE))


def test_a_wake_rings_once_for_who_attends_and_for_nobody_else() -> None:
    attendance = attend()
    for _ in range(20):
        wake.wake(QUEUE)
    assert queues.count_hints(QUEUE) == 0
    assert Attendance(QUEUE, "other").take(None) is None
    assert attendance.take(None) == RING
    assert queues.connection().llen(hints.bell_key(QUEUE)) == 0


def test_a_second_worker_that_takes_a_hint_helps_and_does_not_attend() -> None:
    attend()
    other = Attendance(QUEUE, "other")
    other.accept(0)
    assert queues.connection().get(hints.attended_key(QUEUE)) == b"w"
    other.renew(ALL)
    other.end()
    assert queues.connection().get(hints.attended_key(QUEUE)) == b"w"


def test_what_rings_while_a_burst_works_is_silenced_before_its_next_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """So whoever finds the key has committed before that claim, as with a hint that is taken."""
    DurableClient().start_new("plain")
    worker, rung = new_worker(), []
    attendance = Attendance(QUEUE, worker.owner)
    assert attendance.take(None) == RING
    real = claims.claim

    def claim(*arguments: Any, **options: Any) -> claims.Claim:
        rung.append(queues.connection().exists(hints.token_key(QUEUE, 0), hints.bell_key(QUEUE)))
        found = real(*arguments, **options)
        if len(rung) < 3:
            DurableClient().start_new("plain")
            assert queues.connection().exists(hints.token_key(QUEUE, 0), hints.bell_key(QUEUE)) == 2
        return found

    monkeypatch.setattr(claims, "claim", claim)
    jobs.take_hint(0, attendance, Burst(worker, QUEUE, attendance))
    worker.close()
    assert rung == [0] * len(rung)
    assert len(rung) >= 3
    assert RING.decode() not in queues.queue_of(QUEUE).job_ids


@pytest.mark.parametrize("leave", [True, False], ids=["it leaves", "it lapses"])
def test_a_bell_that_its_attendant_does_not_hear_is_a_job_for_all(leave: bool) -> None:
    attendance = attend()
    wake.wake(QUEUE)
    if leave:
        attendance.end()
    else:
        lapse()
        wake.wake(QUEUE)  # though a hint is on its way
    assert list(queues.queue_of(QUEUE).job_ids) == [RING.decode()]
    assert hints.take(QUEUE, None) == RING
    assert queues.connection().exists(hints.attended_key(QUEUE), hints.bell_key(QUEUE)) == 0


def test_who_waits_in_vain_attends_no_more() -> None:
    attendance = attend()
    assert attendance.take(0.1) is None
    assert not queues.connection().exists(hints.attended_key(QUEUE))
    wake.wake(QUEUE)
    assert Attendance(QUEUE, "other").take(None) == RING


def test_a_supervisor_sees_to_a_bell_that_nobody_hears() -> None:
    """It has heard that somebody attends, and looks until that is over; nobody else wakes the queue then."""
    sweeper = Sweeper()
    sweeper.listen(0.01)
    attend()
    sweeper.listen(1.0)
    wake.wake(QUEUE)
    time.sleep(0.05)
    sweeper.fire()
    assert queues.count_hints(QUEUE) == 0
    assert sweeper.seconds_to_next() is not None
    lapse()
    time.sleep(0.05)
    sweeper.fire()
    sweeper.close()
    assert list(queues.queue_of(QUEUE).job_ids) == [RING.decode()]
    assert sweeper.seconds_to_next() is None


def test_a_surplus_calls_others_although_somebody_attends() -> None:
    wake._listeners[QUEUE] = (float("inf"), 3)
    attend()
    wake.wake(QUEUE, is_surplus=True)
    assert list(queues.queue_of(QUEUE).job_ids) == ["main-default-1"]
    wake.wake(QUEUE, items=1000, is_surplus=True)
    assert list(queues.queue_of(QUEUE).job_ids) == ["main-default-1", "main-default-2"]


def test_a_surplus_of_the_only_worker_is_a_hint_that_it_takes_itself() -> None:
    """As far as Redis knows it is the only one: after a loss of memory it may be wrong, so others would be called."""
    wake._listeners[QUEUE] = (float("inf"), 1)
    attendance = attend()
    wake.wake(QUEUE, items=1000, is_surplus=True)
    assert attendance.take(None) == b"main-default-1"


def test_a_claim_that_takes_no_activities_does_not_silence_the_bell() -> None:
    attendance = attend()
    attendance.renew(ALL)
    wake.wake(QUEUE)
    attendance.renew(replace(ALL, activities=0))
    assert queues.connection().llen(hints.bell_key(QUEUE)) == 1
    attendance.renew(ALL)
    assert queues.connection().llen(hints.bell_key(QUEUE)) == 0


def test_attendances_that_lapse_again_and_again_leave_one_hint() -> None:
    attendance = attend()
    attendance.renew(ALL)
    for _ in range(20):
        wake.wake(QUEUE)
        lapse()
        wake.wake(QUEUE)
        attendance.renew(ALL)
    assert queues.count_hints(QUEUE) == 1


def test_a_worker_that_may_tell_nobody_that_it_attends_attends_all_the_same() -> None:
    """Redis gives new users no channels unless it is told to."""
    connection = queues.connection()
    connection.execute_command("ACL", "SETUSER", "default", "resetchannels")  # type: ignore[no-untyped-call]
    try:
        attend()
    finally:
        connection.execute_command("ACL", "SETUSER", "default", "allchannels")  # type: ignore[no-untyped-call]


def test_who_leaves_some_of_the_work_to_others_does_not_attend() -> None:
    """Else it would ring for itself alone about what it cannot run."""
    attendance = attend()
    wake.wake(QUEUE)
    attendance.renew(replace(ALL, unknown_activities=("elsewhere",)))
    assert list(queues.queue_of(QUEUE).job_ids) == [RING.decode()]
    assert not queues.connection().exists(hints.attended_key(QUEUE))


@pytest.mark.parametrize("value", ["for ever", "for years", "no text"])
def test_an_attendant_s_key_that_is_not_ours_holds_up_nothing(value: str) -> None:
    connection, key = queues.connection(), hints.attended_key(QUEUE)
    if value == "no text":
        connection.rpush(key, "x")
    else:
        connection.set(key, "stranger", ex=None if value == "for ever" else 864_000_000)
    connection.set(hints.bell_key(QUEUE), "no list")
    wake.wake(QUEUE)
    assert hints.take(QUEUE, None) == RING
    connection.delete(hints.token_key(QUEUE, 0))
    attend()
    connection.set(hints.bell_key(QUEUE), "no list")
    wake.wake(QUEUE)
    assert connection.llen(hints.bell_key(QUEUE)) == 1


def test_of_many_claims_one_at_most_waits_for_a_queue_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    attendance = attend()
    attendance.renew(ALL)
    asked: list[int] = []

    def accept(*_: Any) -> bool:
        asked.append(1)
        raise RedisConnectionError("away")

    monkeypatch.setattr(hints, "accept", accept)
    for _ in range(5):
        attendance.renew(ALL)
    assert asked == [1]


def test_work_that_comes_while_a_worker_is_busy_for_long_is_done_by_another(tmp_path: Path) -> None:
    """What it runs was quick so far, so nobody was called for help; no sweep and no other start helps either."""
    client, spec = DurableClient(), {"name": "leave_a_trace", "path": str(tmp_path / "trace"), "line": "x"}
    with run_workers(2, DURABLE_SWEEP_SECONDS="60"):
        for _ in range(5):
            client.wait_for_completion(client.start_new("call_with", client_input=spec), 20)
        slow = client.start_new("call_with", client_input={**spec, "seconds": 5.0})
        wait_until(lambda: (tmp_path / "trace").read_text().count("x") == 6, 10)
        client.wait_for_completion(client.start_new("plain"), 4)
        assert status_of(slow) is Status.RUNNING
        client.wait_for_completion(slow, 20)
