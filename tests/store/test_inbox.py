"""Messages: once for each key, in order, and `due_at` follows them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from orchestrations.client.client import DurableClient
from orchestrations.engine.events import EventRaised
from orchestrations.engine.state import Status
from orchestrations.store import clock, inbox, looks
from orchestrations.store.inbox import NewMessage
from orchestrations.store.looks import Question
from orchestrations.store.models import EventReceipt, Gate, InboxMessage, Instance, Schedule
from tests.bursts import HINTS, drain, status_of
from tests.store.concurrency import at_once
from tests.store.holding import claim, schedule_of, start, turn


def deliver(pk: int, sender: str, *, seconds: float = 0.0, execution: str = "") -> int:
    now = clock.now()
    at = now + timedelta(seconds=seconds) if seconds else None
    with transaction.atomic():
        event = EventRaised(timestamp=now, name=sender)
        return inbox.deliver([NewMessage(pk, event, sender, execution=execution, not_before=at)], now)


def test_events_with_one_event_id_raised_at_the_same_moment_count_once() -> None:
    instance_id = DurableClient().start_new("wait_for", client_input=["a", "a"])
    drain()
    found = at_once([lambda: DurableClient().raise_event(instance_id, "a", 1, event_id="x")] * 5)
    assert sorted(str(f) for f in found) == ["False"] * 4 + ["True"]
    assert (EventReceipt.objects.count(), InboxMessage.objects.count()) == (1, 1)


def test_events_raised_at_the_same_moment_are_all_kept() -> None:
    names = [f"e{n}" for n in range(6)]
    instance_id = DurableClient().start_new("wait_for", client_input=names)
    drain()
    at_once([lambda name=name: DurableClient().raise_event(instance_id, name) for name in names])  # type: ignore[misc]
    assert InboxMessage.objects.count() == 6
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_a_message_of_a_sender_and_number_that_waits_is_not_stored_again() -> None:
    pk = start()
    deliver(pk, "same")
    deliver(pk, "same")
    assert InboxMessage.objects.filter(sender="same").count() == 1


def test_delivering_needs_a_transaction() -> None:
    pk = start()
    event = EventRaised(timestamp=clock.now(), name="a")
    with pytest.raises(AssertionError, match="in a transaction"):
        inbox.deliver([NewMessage(pk, event, "a")], clock.now())


def test_due_at_is_lowered_and_never_raised() -> None:
    pk = start()
    turn("w", keep=False)
    assert Schedule.objects.get(pk=pk).due_at is None
    deliver(pk, "late", seconds=60)
    late = Schedule.objects.get(pk=pk).due_at
    deliver(pk, "early", seconds=30)
    early = Schedule.objects.get(pk=pk).due_at
    deliver(pk, "latest", seconds=90)
    assert late is not None
    assert early is not None
    assert early < late
    assert Schedule.objects.get(pk=pk).due_at == early


def test_a_message_for_later_is_announced_for_its_instant() -> None:
    pk = start()
    turn("w", keep=False)
    HINTS.clear()
    deliver(pk, "later", seconds=3)
    row = Schedule.objects.get(pk=pk)
    assert HINTS.take() == (row.due_at, row.queue)


def test_a_message_to_a_leased_instance_wakes_nobody_for_its_holder_will_see_it() -> None:
    pk = start()
    claim("w")
    HINTS.clear()
    deliver(pk, "a")
    assert HINTS.take() is None


def test_only_management_counts_behind_a_gate_that_is_held() -> None:
    """An instance that is suspended, parked, or has not begun."""
    pk = start()
    turn("w", keep=False)
    Schedule.objects.filter(pk=pk).update(gate=Gate.HELD)
    deliver(pk, "a")
    assert Schedule.objects.get(pk=pk).due_at is None
    DurableClient().terminate(Instance.objects.get(pk=pk).instance_id)
    assert Schedule.objects.get(pk=pk).due_at is not None


def test_a_look_returns_what_is_visible_in_order_and_the_earliest_of_what_comes_later() -> None:
    pk = start()
    turn("w", keep=False)
    deliver(pk, "second")
    deliver(pk, "later", seconds=60)
    deliver(pk, "latest", seconds=90)
    execution = Schedule.objects.get(pk=pk).execution
    deliver(pk, "fired", seconds=-5, execution=execution)
    now = clock.now()
    found = looks.look([Question(pk, Status.RUNNING)], now)[pk]
    assert [message.execution for message in found.messages] == ["", execution]
    assert found.later == InboxMessage.objects.get(sender="later").not_before
    assert found.due_at(Status.RUNNING, now) == found.messages[1].not_before
    found = looks.look([Question(pk, Status.SUSPENDED)], now)[pk]
    assert (found.due_at(Status.SUSPENDED, now), found.has_news(Status.SUSPENDED)) == (None, False)


def test_looking_for_nobody_asks_nothing() -> None:
    assert looks.look([], clock.now()) == {}


def test_what_waits_is_counted_up_to_a_bound() -> None:
    """A start and timers do not count."""
    pk, other = start("wait_or_default", 60), start("plain")
    turn("w", keep=False)
    for number, sender in enumerate("abc"):
        assert inbox.count_waiting([pk, other], 2) == {pk: min(number, 2), other: 0}
        deliver(pk, sender)


def test_a_suspended_instance_takes_its_messages_in_order_when_it_is_resumed() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "a", "a"])
    drain()
    client.suspend(instance_id)
    drain()
    for number in range(3):
        client.raise_event(instance_id, "a", number)
    assert schedule_of(instance_id).due_at is None
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == [0, 1, 2]


def test_what_has_ended_and_executions_that_are_gone_take_nothing() -> None:
    pk = start("plain", None)
    assert deliver(pk, "gone", execution="gone") == 0
    turn("w")
    assert deliver(pk, "late") == deliver(pk + 1, "nobody") == 0
    assert not InboxMessage.objects.exists()
    assert Schedule.objects.get(pk=pk).due_at is None
