"""Many starts in one commit: each as `start_new` would do it, all of them or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrations import DurableClient, StartRequest
from orchestrations.engine.state import Status
from orchestrations.errors import DurableError, InstanceExistsError
from orchestrations.store.models import Instance
from tests.bursts import drain, status_of


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
