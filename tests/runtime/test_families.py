"""Ends reach everybody whom they concern: the parent that waits, and all that live below."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from orchestrations import OrchestrationContext, TaskFailedError, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store.models import Instance
from tests.bursts import drain, status_of
from tests.store.concurrency import beside, held_beside, wait_until_blocked
from tests.store.holding import claim, commit, hold, plan

Body = Generator[Any, Any, Any]


@orchestrator
def wait_for_a_child(context: OrchestrationContext, child: str) -> Body:
    try:
        return (yield context.call_sub_orchestrator("wait_for", ["never"], instance_id=child))
    except TaskFailedError as error:
        return str(error)


@orchestrator
def found_a_family(context: OrchestrationContext, names: list[str]) -> Body:
    """Start the first of the names with the others, and end without waiting; the last one waits."""
    name, *rest = names
    if rest:
        context.call_sub_orchestrator("found_a_family", rest, instance_id=name)
    else:
        context.call_sub_orchestrator("wait_for", ["never"], instance_id=name)
    if context.parent_instance_id is None:
        yield context.wait_for_external_event("never")


def test_a_parent_hears_that_its_child_was_replaced() -> None:
    client = DurableClient()
    parent = client.start_new("wait_for_a_child", client_input="kid")
    drain()
    client.start_new("plain", "kid", "other", if_exists="replace_any")
    drain()
    assert client.get_status(parent).output == (
        "Sub-orchestration task #1 failed: It was replaced by another instance with its ID."
    )
    assert status_of("kid") is Status.COMPLETED


def test_replacing_an_ended_child_tells_its_parent_nothing() -> None:
    client = DurableClient()
    parent = client.start_new("wait_for_a_child", client_input="kid")
    drain()
    client.terminate("kid", "enough")
    drain()
    assert client.get_status(parent).output == "Sub-orchestration task #1 failed: enough"
    client.start_new("plain", "kid", if_exists="replace_any")
    drain()
    assert client.get_status(parent).output == "Sub-orchestration task #1 failed: enough"


def test_terminating_reaches_those_who_live_below_one_that_has_ended() -> None:
    client = DurableClient()
    top = client.start_new("found_a_family", "top", ["middle", "lower", "leaf"])
    drain()
    assert [status_of(i) for i in ("middle", "lower", "leaf")] == [Status.COMPLETED, Status.COMPLETED, Status.RUNNING]
    client.terminate(top, "all of you")
    drain()
    assert [status_of(i) for i in ("top", "leaf")] == [Status.TERMINATED] * 2
    assert status_of("middle") is Status.COMPLETED


@pytest.mark.parametrize("policy", ["replace_terminal", "replace_any"])
def test_replacing_an_ended_instance_leaves_those_below_it_alive_and_within_the_family(policy: str) -> None:
    client = DurableClient()
    client.start_new("found_a_family", "top", ["middle", "leaf"])
    drain()
    client.start_new("plain", "middle", if_exists=policy)
    drain()
    assert status_of("leaf") is Status.RUNNING
    assert Instance.objects.get(instance_id="leaf").parent == Instance.objects.get(instance_id="top")
    client.terminate("top")
    drain()
    assert status_of("leaf") is Status.TERMINATED


def test_replacing_a_live_instance_ends_all_that_live_below_it() -> None:
    client = DurableClient()
    client.start_new("found_a_family", "top", ["middle", "leaf"])
    drain()
    client.start_new("plain", "top", if_exists="replace_any")
    drain()
    assert [status_of(i) for i in ("top", "middle", "leaf")] == [
        Status.COMPLETED,
        Status.COMPLETED,
        Status.TERMINATED,
    ]


def test_one_that_ends_while_its_family_is_terminated_does_not_hide_those_below_it() -> None:
    """The parent's commit has found the child alive and waits for its lock; meanwhile the child starts one and ends."""
    client = DurableClient()
    client.start_new("found_a_family", "top", ["middle", "leaf"])
    (found,) = commit(plan(hold(claim("w").instances), keep=False))
    assert not found.is_dropped
    ending = plan(hold(claim("middle").instances), keep=False)
    client.terminate("top")
    top = plan(hold(claim("top").instances), keep=False)
    with held_beside(lambda: commit(ending)) as finish:
        future = beside(lambda: commit(top))
        wait_until_blocked(future)
        finish()
        future.result(20)
    drain()
    assert [status_of(i) for i in ("top", "middle", "leaf")] == [
        Status.TERMINATED,
        Status.COMPLETED,
        Status.TERMINATED,
    ]
