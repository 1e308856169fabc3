"""Many starts in one commit: each as `start_new` would do it, all of them or none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from orchestrations import DurableClient, StartRequest
from orchestrations.engine.state import Status
from orchestrations.errors import DurableError, InstanceExistsError
from orchestrations.store import clock, inbox, sql
from orchestrations.store.models import Instance
from tests.bursts import HINTS, drain, status_of
from tests.store.concurrency import beside, wait_until_blocked
from tests.taps import Execute


def ids(*names: str) -> list[StartRequest]:
    return [StartRequest("plain", name) for name in names]


def names() -> list[str]:
    return sorted(Instance.objects.values_list("instance_id", flat=True))


def test_they_are_started_and_their_ids_come_in_the_order_of_the_requests() -> None:
    client = DurableClient()
    requests = [StartRequest("plain", None if n % 2 else f"i{9 - n}", n, tags={"n": str(n)}) for n in range(10)]
    found = client.start_many(requests)
    assert found[::2] == [f"i{9 - n}" for n in range(0, 10, 2)]
    drain()
    for number, instance_id in enumerate(found):
        status = client.get_status(instance_id, show_input=True)
        assert (status.runtime_status, status.input_, status.tags) == (Status.COMPLETED, number, {"n": str(number)})


def test_each_may_start_at_its_own_time() -> None:
    later = StartRequest("plain", "later", start_at=timedelta(hours=1))
    DurableClient().start_many([later, *ids("now")])
    drain()
    assert (status_of("now"), status_of("later")) == (Status.COMPLETED, Status.PENDING)


def test_none_are_no_work() -> None:
    assert DurableClient().start_many([]) == []


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda: [*ids("a"), "plain"], "start.invalid"),
        (lambda: [*ids("a"), None], "start.invalid"),
        (lambda: ids("a", "b", "a"), "instance-id.doubled"),
        (lambda: [*ids("a"), StartRequest("plain", "no/slash")], "instance-id.invalid"),
        (lambda: [*ids("a"), StartRequest("nobody_has_this")], "orchestrator.unknown"),
        (lambda: [*ids("a"), StartRequest("plain", client_input=object())], "result.not-serializable"),
        (lambda: ids("a", "alive"), "instance.exists"),
    ],
)
def test_all_are_started_or_none(bad: Callable[[], Any], code: str) -> None:
    client = DurableClient()
    client.start_new("wait_for", "alive", ["go"])
    with pytest.raises(DurableError) as error:
        client.start_many(bad())
    assert error.value.code == code
    assert names() == ["alive"]


def test_what_is_there_is_left_or_replaced_as_the_policy_says() -> None:
    client = DurableClient()
    client.start_many([*ids("ended"), StartRequest("wait_for", "alive", ["go"])])
    drain()
    before = dict(Instance.objects.values_list("instance_id", "pk"))
    assert client.start_many(ids("new", "alive", "ended"), if_exists="return_existing") == ["new", "alive", "ended"]
    after = dict(Instance.objects.values_list("instance_id", "pk"))
    assert after["alive"] == before["alive"]
    assert after["ended"] != before["ended"]
    with pytest.raises(InstanceExistsError):
        client.start_many(ids("newer", "ended"), if_exists="error")
    client.start_many(ids("alive", "ended"), if_exists="replace_any")
    drain()
    assert {status_of(name) for name in ("new", "alive", "ended")} == {Status.COMPLETED}


def test_they_are_stored_in_the_order_of_their_ids_whatever_that_of_the_requests() -> None:
    """Else two who start some of the same could wait for each other."""
    DurableClient().start_many(ids("c", "a", "b"))
    assert list(Instance.objects.order_by("pk").values_list("instance_id", flat=True)) == ["a", "b", "c"]


def test_each_instant_is_announced() -> None:
    HINTS.clear()
    later = StartRequest("plain", "later", start_at=timedelta(seconds=2))
    DurableClient().start_many([*ids("a", "b"), later])
    found = [HINTS.take(), HINTS.take()]
    assert HINTS.is_empty()
    assert [hint is not None and hint[0] > clock.now() for hint in found] == [False, True]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its transactions are alone")
def test_a_start_that_is_the_victim_of_a_deadlock_is_done_again() -> None:
    """It has inserted one id and waits for another's row; who has that row inserts the first one.

    Who notices a deadlock first is its victim, so the other one has more patience.
    """
    client = DurableClient()
    client.start_new("wait_for", "row", ["go"])
    drain()

    def lock_and_insert() -> None:
        with transaction.atomic():
            sql.run("SET LOCAL deadlock_timeout = '60s'", [])
            inbox.lock([Instance.objects.get(instance_id="row").pk])
            is_locked.set()
            wait_until_blocked(starting)
            client.start_many(ids("id"))

    is_locked = threading.Event()
    starting: Future[Any] = Future()
    worker = beside(lock_and_insert)
    assert is_locked.wait(10)
    starting.set_running_or_notify_cancel()
    assert client.start_many(ids("id", "row"), if_exists="replace_any") == ["id", "row"]
    worker.result(20)
    drain()
    assert {status_of(name) for name in ("id", "row")} == {Status.COMPLETED}


@pytest.mark.parametrize("act", ["start", "event"])
def test_an_error_of_the_database_in_a_callers_transaction_ends_it_whoever_catches_it(act: str) -> None:
    """On PostgreSQL both are one statement without a savepoint: what came before must not seem to be stored."""
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"])

    def fail(execute: Execute, text: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        raise OperationalError("the disk is full")

    def attempt() -> None:
        with connection.execute_wrapper(fail), contextlib.suppress(OperationalError):
            client.start_new("plain") if act == "start" else client.raise_event(instance_id, "a", 1)

    if not sql.is_postgres():
        pytest.skip("a savepoint is rolled back there")
    with transaction.atomic():
        client.start_new("plain", "before")
        attempt()
        assert transaction.get_rollback()
    assert not Instance.objects.filter(instance_id="before").exists()
