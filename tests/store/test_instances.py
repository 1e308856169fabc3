"""Starts that race for one id, and hubs."""

from __future__ import annotations

import pytest
from django.db import transaction

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.errors import HubNotFoundError, InstanceExistsError, InvalidError
from orchestrations.store import hubs
from orchestrations.store.models import InboxMessage, Instance, TaskHub
from tests.bursts import drain, status_of
from tests.store.concurrency import at_once, beside, held_beside, run_beside, wait_until_blocked
from tests.store.holding import claim, held_commit, hold, plan, row_of, schedule_of, turn

RACERS = 6


def race(policy: str) -> list[str | BaseException]:
    """Start one id many times at the same moment."""
    DurableClient().start_new("plain", "warm-up")  # the hub exists, and each connection is the same age
    drain()
    start = lambda: DurableClient().start_new("wait_for", "same", ["a"], if_exists=policy)  # noqa: E731
    return at_once([start] * RACERS)


@pytest.mark.parametrize("policy", ["replace_terminal", "error"])
def test_of_starts_with_one_id_one_wins_and_the_others_are_told(policy: str) -> None:
    found = race(policy)
    refused = [f for f in found if isinstance(f, InstanceExistsError)]
    assert found.count("same") == 1
    assert [(f.code, f.status) for f in refused] == [("instance.exists", "Pending")] * (RACERS - 1)
    assert Instance.objects.filter(instance_id="same").count() == 1
    assert InboxMessage.objects.count() == 1


def test_of_starts_of_a_singleton_one_wins_and_the_others_are_given_its_id() -> None:
    assert race("return_existing") == ["same"] * RACERS
    assert Instance.objects.filter(instance_id="same").count() == 1
    assert InboxMessage.objects.count() == 1


def test_starts_that_replace_each_other_leave_one_instance_with_one_start() -> None:
    assert race("replace_any") == ["same"] * RACERS
    assert Instance.objects.filter(instance_id="same").count() == 1
    assert InboxMessage.objects.count() == 1
    DurableClient().raise_event("same", "a", 1)
    drain()
    assert status_of("same") is Status.COMPLETED


def test_starts_that_race_to_replace_an_ended_instance_replace_it_once() -> None:
    DurableClient().start_new("plain", "same")
    drain()
    found = race("replace_terminal")
    assert found.count("same") == 1
    assert row_of("same").name == "wait_for"
    assert InboxMessage.objects.count() == 1


def test_a_start_beside_one_that_is_not_committed_waits_for_its_fate() -> None:
    with held_beside(lambda: DurableClient().start_new("plain", "same")) as finish:
        future = beside(lambda: DurableClient().start_new("wait_for", "same", ["a"]))
        wait_until_blocked(future)
        finish()
        assert isinstance(future.exception(20), InstanceExistsError)
    assert row_of("same").name == "plain"


def test_a_start_beside_one_that_is_rolled_back_wins() -> None:
    DurableClient().start_new("plain", "other")

    def give_up() -> None:
        with transaction.atomic():
            DurableClient().start_new("plain", "same")
            raise LookupError

    with pytest.raises(LookupError):
        run_beside(give_up)
    assert DurableClient().start_new("wait_for", "same", ["a"], if_exists="error") == "same"


def test_replacing_a_live_instance_ends_its_children() -> None:
    client = DurableClient()
    client.start_new("parent", "family", ["a", "b"])
    drain()
    children = list(Instance.objects.filter(parent__instance_id="family").values_list("instance_id", flat=True))
    client.start_new("plain", "family", if_exists="replace_any")
    drain()
    assert len(children) == 2
    assert {status_of(child) for child in children} == {Status.TERMINATED}
    assert status_of("family") is Status.COMPLETED


@pytest.mark.parametrize("is_fast", [True, False], ids=["fast path", "whole way"])
def test_replacing_an_instance_whose_turn_is_being_committed_waits_for_the_commit(*, is_fast: bool) -> None:
    client = DurableClient()
    client.start_new("wait_for", "same", ["a"])
    plans = plan(hold(claim("w").instances))
    with held_commit(plans, is_fast=is_fast) as held:
        future = beside(lambda: client.start_new("plain", "same", if_exists="replace_any"))
        wait_until_blocked(future, waiters=held.waiters + 1)
        held.finish()
        future.result(20)
    assert (row_of("same").name, schedule_of("same").position) == ("plain", 0)
    drain()
    assert status_of("same") is Status.COMPLETED


def test_a_start_in_the_future_is_not_claimed_before_its_time() -> None:
    from datetime import timedelta

    from orchestrations.store import clock

    at = clock.now() + timedelta(hours=1)
    DurableClient().start_new("plain", "later", start_at=at)
    assert not claim("w").instances
    assert (schedule_of("later").due_at, row_of("later").status) == (at, "Pending")


def test_a_start_in_the_past_runs_at_once() -> None:
    from tests.store.holding import PAST

    DurableClient().start_new("plain", "at-once", start_at=PAST)
    assert len(turn("w")) == 1


# --- hubs


def test_a_hub_whose_creation_was_rolled_back_is_created_again() -> None:
    def give_up() -> None:
        with transaction.atomic():
            DurableClient("main").start_new("plain", "one")
            raise LookupError

    with pytest.raises(LookupError):
        give_up()
    assert not TaskHub.objects.filter(name="main").exists()
    assert DurableClient("main").start_new("plain", "one") == "one"
    assert Instance.objects.get(instance_id="one").hub.name == "main"


def test_a_hub_that_was_seen_in_a_transaction_that_was_rolled_back_is_not_remembered() -> None:
    def see() -> None:
        with transaction.atomic():
            key = TaskHub.objects.create(name="Passing").pk
            assert hubs.name_of(key) == "Passing"
            seen.append(key)
            raise LookupError

    seen: list[int] = []
    with pytest.raises(LookupError):
        see()
    TaskHub.objects.create(pk=seen[0], name="Other")
    assert hubs.name_of(seen[0]) == "Other"


def test_a_hub_is_created_once_by_those_who_serve_it_at_the_same_moment() -> None:
    found = at_once([lambda: hubs.ensure("fresh")] * 4)
    assert not [f for f in found if isinstance(f, BaseException)]
    assert TaskHub.objects.filter(name="fresh").count() == 1


def test_a_hub_that_nobody_has_made_takes_nothing_and_is_not_made_by_a_typing_error() -> None:
    with pytest.raises(HubNotFoundError) as caught:
        DurableClient("mian").start_new("plain")
    assert caught.value.code == "hub.unknown"
    assert "durable_worker --queue mian.default" in str(caught.value)
    assert not TaskHub.objects.filter(name="mian").exists()
    hubs.ensure("other")
    assert DurableClient("other").start_new("plain", "one") == "one"


def test_a_hub_is_asked_for_once_in_a_process() -> None:
    from tests.store.counting import count_cost

    first = hubs.find("main")
    with count_cost() as cost:
        assert hubs.find("main") == first
        assert hubs.name_of(first) == "main"
    assert cost.both == (0, 0)


@pytest.mark.parametrize("name", ["ab", "x" * 46, "a b c", "nul\x00nul", "ümlaut"])
def test_a_hub_has_3_to_45_letters_and_digits(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        DurableClient(name).start_new("plain")
    assert caught.value.code == "name.invalid"
    assert not TaskHub.objects.exists()
