"""A parked instance obeys: what needs no code is done at once, whatever cannot be decoded or run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrations.authoring.registry import registry
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.client.status import Blocked
from orchestrations.engine.state import Status
from orchestrations.store import clock, leases
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.models import InboxMessage, Supervisor, Worker
from tests.bursts import burst_once, drain, kinds_of, status_of
from tests.histories import parts_of, replace_event
from tests.store.holding import claim, schedule_of


def blocked(instance_id: str) -> Blocked | None:
    return queries.get_instance(DurableClient().hub, instance_id).blocked


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> str:
    """An instance whose code is gone, with a message that its code would have to take."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "b"])
    drain()
    monkeypatch.delitem(registry._functions, ("orchestrator", "wait_for"))
    client.raise_event(instance_id, "a", 1)
    burst_once()
    found = blocked(instance_id)
    assert found is not None
    assert found.reason == "missing-function"
    return instance_id


def test_it_is_suspended_and_resumed_at_once_and_keeps_its_mark(parked: str) -> None:
    client = DurableClient()
    before = blocked(parked)
    assert client.suspend(parked, "look at it")
    burst_once()
    assert status_of(parked) is Status.SUSPENDED
    assert blocked(parked) == before
    assert client.resume(parked)
    burst_once()
    assert status_of(parked) is Status.RUNNING
    found = blocked(parked)
    assert before is not None
    assert found is not None
    assert (found.reason, found.since) == (before.reason, before.since)
    assert kinds_of(parked).count("ExecutionSuspended") == kinds_of(parked).count("ExecutionResumed") == 1
    assert InboxMessage.objects.filter(kind="EventRaised").count() == 1


def test_it_is_terminated_although_a_message_cannot_be_read(parked: str) -> None:
    InboxMessage.objects.filter(kind="EventRaised").update(body="{broken")
    DurableClient().terminate(parked, "enough")
    burst_once()
    assert status_of(parked) is Status.TERMINATED
    assert not InboxMessage.objects.exists()


def test_a_message_that_cannot_be_read_parks_and_management_is_obeyed_all_the_same() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"])
    drain()
    client.raise_event(instance_id, "a", 1)
    InboxMessage.objects.update(body='{"EventType":"Unheard"}')
    client.suspend(instance_id)
    burst_once()
    assert status_of(instance_id) is Status.SUSPENDED
    client.terminate(instance_id)
    burst_once()
    assert status_of(instance_id) is Status.TERMINATED


def test_a_history_that_cannot_be_read_parks_the_instance_and_its_batch_mates_go_on() -> None:
    client = DurableClient()
    odd, good = (client.start_new("wait_for", client_input=["a"]) for _ in range(2))
    drain()
    replace_event(parts_of(odd), "ExecutionStarted", EventType="FromTheFuture")
    for instance_id in (odd, good):
        client.raise_event(instance_id, "a", 1)
    burst_once()
    assert status_of(good) is Status.COMPLETED
    found = blocked(odd)
    assert found is not None
    assert found.reason == "payload"
    assert "The history cannot be read" in found.message
    client.terminate(odd)
    burst_once()
    assert status_of(odd) is Status.TERMINATED


def test_parking_does_not_put_off_an_order_that_came_during_the_turn(parked: str) -> None:
    """The order lowers `due_at`; the mark of a turn that began before must not raise it again."""
    (held,) = _claim_now(parked)
    DurableClient().terminate(parked)
    leases.park(held, leases.Mark("missing-function", "gone", "code"), clock.now())
    due_at = schedule_of(parked).due_at
    assert due_at is not None
    assert due_at <= clock.now()
    burst_once()
    assert status_of(parked) is Status.TERMINATED


def test_while_workers_run_other_code_the_pause_does_not_grow(parked: str) -> None:
    Supervisor.objects.create(id="s", host="h", pid=1, started_at=clock.now(), seen_at=clock.now())
    Worker.objects.create(
        id="x", supervisor_id="s", queue="q", pid=1, fingerprint="new", started_at=clock.now(), seen_at=clock.now()
    )
    for _ in range(4):
        (held,) = _claim_now(parked)
        leases.park(held, leases.Mark("missing-function", "gone", "old"), clock.now())
    due_at = schedule_of(parked).due_at
    assert due_at is not None
    assert due_at <= clock.now() + timedelta(seconds=leases.FIRST_TRY_SECONDS)


def _claim_now(instance_id: str) -> list[ClaimedInstance]:
    row = schedule_of(instance_id)
    row.due_at = clock.now()
    row.save()
    return claim("w").instances


def test_one_for_which_nothing_waits_is_tried_when_something_comes() -> None:
    """Suspended and resumed without its code it has no next try, so whatever comes must make it due."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"])
    drain()
    leases.park(_claim_now(instance_id)[0], leases.Mark("missing-function", "gone", "old"), clock.now())
    client.suspend(instance_id)
    drain()
    client.resume(instance_id)
    drain()
    assert blocked(instance_id) is not None
    client.raise_event(instance_id, "a", 1)
    drain()
    assert client.get_status(instance_id).output == [1]
    assert blocked(instance_id) is None
