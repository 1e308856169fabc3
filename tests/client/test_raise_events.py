"""raise_events: thousands in one commit, in order, all of them or none, each event id once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from orchestrations import EventRequest, StartRequest
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.errors import (
    InstanceNotFoundError,
    InvalidError,
    LimitExceededError,
    PayloadError,
    WrongStatusError,
)
from orchestrations.store import sql
from orchestrations.store.models import EventReceipt, Gate, InboxMessage, Schedule
from tests.bursts import HINTS, drain, status_of
from tests.client.dumps import dump_tables
from tests.store.concurrency import SECONDS, at_once, beside, held_beside, wait_until_blocked
from tests.store.plans import watch_reads

pytestmark = pytest.mark.usefixtures("redis_server")


def waiting(*names: str, count: int = 1) -> list[str]:
    """Start instances that wait for these events, one after the other."""
    ids = DurableClient().start_many([StartRequest("wait_for", client_input=list(names)) for _ in range(count)])
    drain()
    return ids


def test_they_arrive_in_the_order_given_each_at_its_instance() -> None:
    client, (one, other) = DurableClient(), waiting("a", "a", "a", count=2)
    requests = [EventRequest(i, "a", [i, n]) for n in range(3) for i in (one, other)]
    assert client.raise_events(requests) == [True] * 6
    drain()
    for instance_id in (one, other):
        assert client.get_status(instance_id).output == [[instance_id, n] for n in range(3)]


def test_no_events_are_no_work() -> None:
    assert DurableClient().raise_events([]) == []


def test_thousands_reach_thousands_in_one_commit() -> None:
    ids = DurableClient().start_many([StartRequest("wait_for", client_input=["a"]) for _ in range(2000)])
    assert DurableClient().raise_events([EventRequest(i, "a", n) for n, i in enumerate(ids)]) == [True] * 2000
    rows = (
        InboxMessage.objects.filter(kind="EventRaised").order_by("id").values_list("instance__instance_id", flat=True)
    )
    assert list(rows) == ids
    assert set(Schedule.objects.values_list("arrivals", flat=True)) == {1}


def test_one_that_cannot_be_accepted_leaves_nothing_of_the_others() -> None:
    client, (live, ended) = DurableClient(), waiting("a", count=2)
    client.terminate(ended)
    drain()
    before = dump_tables()
    good = EventRequest(live, "a", event_id="x")
    bad: list[tuple[Any, type[Exception]]] = [
        (EventRequest("nobody", "a"), InstanceNotFoundError),
        (EventRequest("no\x00body", "a"), InstanceNotFoundError),
        (EventRequest(ended, "a"), WrongStatusError),
        (EventRequest(ended, "a", event_id="y"), WrongStatusError),
        (EventRequest(live, ""), InvalidError),
        (EventRequest(live, "a", data_json="{"), PayloadError),
        ((live, "a"), InvalidError),
    ]
    for request, error in bad:
        with pytest.raises(error):
            client.raise_events([good, request, good])
        assert dump_tables() == before
    for unknown in ([EventRequest("nobody", "a")], [EventRequest(ended, "a"), EventRequest("nobody", "a")]):
        with pytest.raises(InstanceNotFoundError) as found:
            client.raise_events(unknown)
        assert found.value.code == "instance.unknown"
    with pytest.raises(InvalidError) as refused:
        client.raise_events([EventRequest(live, "a")] * 10_001)
    assert refused.value.code == "batch.too-large"


def test_an_event_id_counts_once_for_each_instance_also_among_those_sent_together() -> None:
    client, (one, other) = DurableClient(), waiting("a", "b", count=2)
    requests = [EventRequest(i, "a", n, event_id="x") for n, i in enumerate((one, other, one))]
    assert client.raise_events(requests) == [True, True, False]
    assert client.raise_events([EventRequest(one, "b", 3), *requests]) == [True, False, False, False]
    assert EventReceipt.objects.count() == 2
    drain()
    assert client.get_status(one).output == [0, 3]


def test_a_repeat_to_an_instance_that_has_ended_is_false_and_the_others_are_accepted() -> None:
    client, (ended, live) = DurableClient(), waiting("a", count=2)
    assert client.raise_events([EventRequest(ended, "a", event_id="x")]) == [True]
    drain()
    assert status_of(ended) is Status.COMPLETED
    assert client.raise_events([EventRequest(ended, "a", event_id="x"), EventRequest(live, "a")]) == [False, True]
    drain()
    assert status_of(live) is Status.COMPLETED


@pytest.mark.parametrize("count", [1, 2])
def test_an_inbox_takes_as_many_as_its_limit_and_no_more(count: int, settings: Any) -> None:
    settings.DURABLE_INBOX_MESSAGES = 4
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["b"])
    for _ in range(4 // count):
        client.raise_events([EventRequest(instance_id, "a")] * count)
    with pytest.raises(LimitExceededError) as found:
        client.raise_events([EventRequest(instance_id, "a")] * count)
    assert (found.value.code, found.value.limit) == ("inbox.full", 4)
    assert InboxMessage.objects.filter(kind="EventRaised").count() == 4


def test_they_take_part_in_the_callers_transaction() -> None:
    client, (instance_id,) = DurableClient(), waiting("a")
    with transaction.atomic():
        client.raise_events([EventRequest(instance_id, "a", event_id="x")] * 2)
        transaction.set_rollback(True)
    assert not InboxMessage.objects.exists()
    with transaction.atomic():
        assert client.raise_event(instance_id, "a", event_id="x")
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_an_event_to_a_suspended_instance_waits_and_does_not_make_it_due() -> None:
    client, (instance_id,) = DurableClient(), waiting("a")
    client.suspend(instance_id)
    drain()
    assert client.raise_event(instance_id, "a", 1)
    assert Schedule.objects.get().due_at is None
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == [1]


def test_an_event_before_the_start_does_not_make_it_due() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"], start_at=timedelta(hours=1))
    due_at = Schedule.objects.get().due_at
    client.raise_event(instance_id, "a", 1)
    assert Schedule.objects.get().due_at == due_at


def test_a_full_inbox_says_what_to_do(settings: Any) -> None:
    settings.DURABLE_INBOX_MESSAGES = 4
    instance_id = DurableClient().start_new("wait_for", client_input=["b"])
    for count, words in ((5, "is 0 and 5 are sent, the limit is 4. Send fewer"), (3, "is 2 and 3 are sent, the limit")):
        with pytest.raises(LimitExceededError, match=words):
            DurableClient().raise_events([EventRequest(instance_id, "a")] * count)
        DurableClient().raise_events([EventRequest(instance_id, "a")] * 2)


def test_an_event_that_waits_for_an_instance_which_ends_meanwhile_is_refused() -> None:
    if not sql.is_postgres():
        pytest.skip("its transactions are alone")
    client, (instance_id,) = DurableClient(), waiting("a")
    with held_beside(lambda: _end(instance_id)) as let_go:
        future = beside(lambda: client.raise_event(instance_id, "a", event_id="x"))
        wait_until_blocked(future)
        let_go()
        with pytest.raises(WrongStatusError):
            future.result(SECONDS)
    assert not InboxMessage.objects.exists()
    assert not EventReceipt.objects.exists()


def test_events_that_wait_for_others_count_beside_them_and_come_after() -> None:
    if not sql.is_postgres():
        pytest.skip("its transactions are alone")
    client, ids = DurableClient(), waiting("a", "a", count=3)
    with held_beside(lambda: client.raise_events([EventRequest(i, "a", 1) for i in ids])) as let_go:
        future = beside(lambda: client.raise_events([EventRequest(i, "a", 2) for i in reversed(ids)]))
        wait_until_blocked(future)
        let_go()
        assert future.result(SECONDS) == [True] * 3
    assert set(Schedule.objects.values_list("arrivals", flat=True)) == {2}
    drain()
    assert [client.get_status(i).output for i in ids] == [[1, 2]] * 3


def test_senders_in_any_order_wait_for_each_other_in_one(settings: Any) -> None:
    client, ids = DurableClient(), waiting("a", count=12)
    orders = [ids, ids[::-1], ids[6:] + ids[:6], ids[::2] + ids[1::2]]

    def send(order: list[str]) -> list[bool]:
        return [n for _ in range(10) for n in client.raise_events([EventRequest(i, "b") for i in order])]

    answers = at_once([partial(send, order) for order in orders])
    assert answers == [[True] * 120] * 4
    assert InboxMessage.objects.filter(kind="EventRaised").count() == 480


def test_whom_a_refused_call_has_locked_is_woken_for() -> None:
    """A claim skips what is locked, and nobody else would wake."""
    client, (live, ended) = DurableClient(), waiting("a", count=2)
    client.terminate(ended)
    drain()
    client.raise_event(live, "a")
    HINTS.clear()
    with pytest.raises(WrongStatusError):
        client.raise_events([EventRequest(live, "a"), EventRequest(ended, "a")])
    assert not HINTS.is_empty()
    HINTS.clear()
    assert client.resume(live) is False
    assert not HINTS.is_empty()


def test_an_event_reads_what_it_returns_however_many_other_instances_there_are() -> None:
    client = DurableClient()
    client.start_many([StartRequest("wait_for", client_input=["a"]) for _ in range(3000)])
    instance_id = client.start_new("wait_for", client_input=["a"])
    if sql.is_postgres():  # SQLite would keep what it has learned for all tests that follow
        sql.run("ANALYZE", [])
    with watch_reads() as reads:
        client.raise_event(instance_id, "a", event_id="x")
    assert reads.rows <= 10, str(reads)
    assert not reads.scans, str(reads)


def _end(instance_id: str) -> None:
    Schedule.objects.filter(instance__instance_id=instance_id).update(gate=Gate.CLOSED)
