"""What a burst takes at once is bounded, and what has been lost it takes alone: nobody shares the blame of another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from orchestrations import OrchestrationContext, activity, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.runtime import bursts
from orchestrations.store import activities, claims, clock, histories, leases, looks
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.looks import Question
from orchestrations.store.models import ActivityTask, Schedule
from tests.bursts import burst_once, drain, new_worker, status_of
from tests.store import holding

Body = Generator[Any, Any, Any]
DURING: list[Callable[[], None]] = []
HELD_BESIDE: list[int] = []


@activity
def be_interrupted(_: Any) -> None:
    """While it runs something happens."""
    while DURING:
        DURING.pop()()


@orchestrator
def interrupt_three_times(context: OrchestrationContext) -> Body:
    for _ in range(3):
        yield context.call_activity(be_interrupted)


@orchestrator
def note_numbers(context: OrchestrationContext) -> Body:
    found = []
    for _ in range(9):
        number, _padding = yield context.wait_for_external_event("go")
        found.append(number)
    return found


@activity
def look_around(owner: str) -> None:
    """Note what else the worker holds."""
    others = ActivityTask.objects.filter(lease_owner=owner).exclude(name="look_around").count()
    HELD_BESIDE.append(others + Schedule.objects.filter(lease_owner=owner).count())


@orchestrator
def call_look_around(context: OrchestrationContext, owner: str) -> Body:
    return (yield context.call_activity(look_around, owner))


@pytest.fixture(autouse=True)
def _nothing_noted() -> None:
    DURING.clear()
    HELD_BESIDE.clear()


def test_histories_are_loaded_up_to_a_bound_and_the_others_in_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    client, loaded = DurableClient(), []
    ids = [client.start_new("wait_for", client_input=["go"]) for _ in range(4)]
    drain()
    sizes = dict(Schedule.objects.values_list("instance_id", "history_size"))
    monkeypatch.setattr(bursts, "HISTORY_CHARACTERS", 2 * max(sizes.values()))
    real = histories.load

    def load(held: Sequence[ClaimedInstance]) -> dict[int, list[str]]:
        loaded.append([one.row.instance_id for one in held])
        return real(held)

    monkeypatch.setattr(histories, "load", load)
    for instance_id in ids:
        client.raise_event(instance_id, "go")
    drain()
    assert sorted(key for keys in loaded for key in keys) == sorted(sizes)
    assert max(len(keys) for keys in loaded) <= 2
    assert {status_of(instance_id) for instance_id in ids} == {Status.COMPLETED}


def test_a_look_shows_messages_up_to_a_bound_of_their_size_and_the_others_later() -> None:
    client = DurableClient()
    instance_id = client.start_new("note_numbers")
    drain()
    for number in range(9):
        client.raise_event(instance_id, "go", [number, "x" * 700_000])
    key = Schedule.objects.get().instance_id
    shown = looks.look([Question(key, Status.RUNNING)], clock.now())[key].messages
    sizes = [len(message.body) for message in shown]
    assert sum(sizes[:-1]) <= looks.CHARACTERS < sum(sizes)
    drain()
    assert client.get_status(instance_id).output == list(range(9))


def test_a_lost_activity_is_not_taken_while_the_hands_are_full(settings: Any) -> None:
    settings.DURABLE_CLAIM_SECONDS = 0.0001
    worker = new_worker()
    lost = DurableClient().start_new("call_look_around", client_input=worker.owner)
    holding.turn("first", share=False, keep=False)
    ActivityTask.objects.update(queue="main.elsewhere")

    def lose_it() -> None:
        ActivityTask.objects.filter(name="look_around").update(queue=default_queue())
        holding.claim("dead")
        leases.lose("dead", None, None, clock.now())

    DURING.append(lose_it)
    busy = DurableClient().start_new("interrupt_three_times")
    drain(worker)
    worker.close()
    assert (status_of(busy), status_of(lost)) == (Status.COMPLETED, Status.COMPLETED)
    assert HELD_BESIDE == [0]


def test_what_a_worker_has_begun_when_its_rows_are_locked_is_not_taken_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which activities run is asked under the lock: one that began just before is its own, and would run twice."""
    holding.start("fan_out", 1)
    holding.turn("w", share=False, keep=False)
    running: set[int] = set()
    real = leases._lock_held

    def lock_held(table: str, owner: str) -> list[int]:
        ActivityTask.objects.update(lease_owner="w", lease_until=clock.now() + timedelta(seconds=30))
        running.update(ActivityTask.objects.values_list("pk", flat=True))
        return real(table, owner)

    monkeypatch.setattr(leases, "_lock_held", lock_held)
    leases.take_back("w", lambda: set(running))
    assert list(ActivityTask.objects.values_list("lease_owner", flat=True)) == ["w"]


@pytest.mark.parametrize(
    ("module", "verb"),
    [(claims, "_lease_instances"), (claims, "_read"), (activities, "settle"), (activities, "put_back")],
)
def test_a_lock_that_was_waited_for_in_vain_is_waited_for_again(
    module: Any, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = getattr(module, verb), [OperationalError("database is locked")] * 2

    def act(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    instance_id = DurableClient().start_new("fan_out", client_input=3)
    holding.turn("first", share=False, keep=False)  # so that results are for an instance that is not in hand
    monkeypatch.setattr(module, verb, act)
    burst_once()
    drain()
    assert not failures
    assert status_of(instance_id) is Status.COMPLETED
