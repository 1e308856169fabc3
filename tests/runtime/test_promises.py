"""What authors are promised, through the real store and the real burst."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

from orchestrations import OrchestrationContext, activity, orchestrator
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from tests.bursts import burst_once, drain, kinds_of, run, status_of

Body = Generator[Any, Any, Any]


class HardStop(BaseException):
    """Outside of `Exception`."""


@activity
def parse(text: str) -> Any:
    return json.loads(text)


@activity
def in_a_group(_: Any) -> None:
    raise ExceptionGroup("all of them", [ConnectionError("away")])


@orchestrator
def stop_hard(context: OrchestrationContext, kind: str) -> Body:
    yield context.call_activity("echo", 1)
    raise {"exit": SystemExit(4), "interrupt": KeyboardInterrupt("by the code"), "own": HardStop("limit")}[kind]


@orchestrator
def catch_value_error(context: OrchestrationContext) -> Body:
    try:
        yield context.call_activity("parse", "{bad")
    except ValueError:
        return "caught"


@orchestrator
def fail_in_a_group(context: OrchestrationContext) -> Body:
    yield context.call_activity("in_a_group")


@orchestrator
def tell_version(context: OrchestrationContext) -> str | None:
    return context.version


@orchestrator
def tell_versions(context: OrchestrationContext) -> Body:
    child = yield context.call_sub_orchestrator("tell_version")
    other = yield context.call_sub_orchestrator("tell_version", version="7")
    return [context.version, child, other]


@orchestrator
def keep_status(context: OrchestrationContext, number: int) -> Any:
    seen = context.custom_status
    if number < 3:
        if number == 1:
            context.set_custom_status({"step": 1})
        return context.continue_as_new(number + 1)
    return seen


@orchestrator
def rest_then_tell(context: OrchestrationContext, state: dict[str, Any]) -> Body:
    yield context.create_timer(state["seconds"])
    return state["generation"]


@orchestrator
def start_over(context: OrchestrationContext, generation: int | None) -> Body:
    generation = generation or 1
    seconds = 60 if generation == 1 else 0
    child = context.call_sub_orchestrator("rest_then_tell", {"generation": generation, "seconds": seconds})
    if generation == 1:
        yield context.create_timer(timedelta(seconds=0.05))
        return context.continue_as_new(2)
    return (yield child)


@orchestrator
def go_on_with(context: OrchestrationContext, state: list[Any] | None) -> Body:
    if isinstance(state, list):
        return context.continue_as_new(state[0])
    yield context.wait_for_external_event("never")


@orchestrator
def keep_much(context: OrchestrationContext, size: int) -> Body:
    context.set_custom_status("s" * size)
    yield context.call_activity("echo", "i" * size)
    yield context.wait_for_external_event("Go")
    return "went on"


@pytest.fixture
def client() -> DurableClient:
    return DurableClient()


@pytest.mark.parametrize(
    ("kind", "error_type", "text"),
    [
        ("exit", "builtins.SystemExit", "4"),
        ("interrupt", "builtins.KeyboardInterrupt", "by the code"),
        ("own", "tests.runtime.test_promises.HardStop", "limit"),
    ],
)
def test_whatever_an_orchestrator_raises_fails_it_once_and_the_worker_lives(
    client: DurableClient, kind: str, error_type: str, text: str
) -> None:
    found = run("stop_hard", kind)
    assert found.runtime_status is Status.FAILED
    assert found.failure is not None
    assert (found.failure.error_type, found.failure.message) == (error_type, text)
    assert run("sequence", 2).runtime_status is Status.COMPLETED


def test_failure_of_an_activity_is_caught_by_a_base_of_its_class() -> None:
    assert run("catch_value_error").output == "caught"


def test_failed_group_shows_its_first_member() -> None:
    failure = run("fail_in_a_group").failure
    assert failure is not None
    assert failure.inner is not None
    group = failure.inner
    assert group.error_type == "builtins.ExceptionGroup"
    assert group.inner is not None
    assert (group.inner.error_type, group.inner.message) == ("builtins.ConnectionError", "away")


def test_child_gets_the_workers_default_version(settings: Any) -> None:
    """VER-1."""
    settings.DURABLE_DEFAULT_VERSION = "2"
    assert run("tell_versions", version="1").output == ["1", "2", "7"]


def test_custom_status_goes_with_the_next_execution(client: DurableClient) -> None:
    """CST-1."""
    instance_id = client.start_new("keep_status", client_input=1)
    drain()
    found = client.get_status(instance_id)
    assert (found.output, found.custom_status) == ({"step": 1}, {"step": 1})


def test_next_execution_gets_a_child_of_its_own_while_the_old_one_lives(client: DurableClient) -> None:
    """SUB-1, CAN-3."""
    instance_id = client.start_new("start_over")
    drain(until=lambda: status_of(instance_id) is Status.COMPLETED)
    assert client.get_status(instance_id).output == 2


def test_instance_goes_on_when_the_limits_were_lowered_below_what_it_holds(
    client: DurableClient, settings: Any
) -> None:
    """LIM-1."""
    settings.DURABLE_ALWAYS_REPLAY = True
    instance_id = client.start_new("keep_much", client_input=4_000)
    drain()
    settings.DURABLE_PAYLOAD_BYTES, settings.DURABLE_CUSTOM_STATUS_BYTES = 1024, 256
    client.raise_event(instance_id, "Go")
    drain()
    found = client.get_status(instance_id)
    assert (found.blocked, found.output) == (None, "went on")


@pytest.mark.parametrize(("value", "shown"), [(None, None), (0, "0"), ({"a": 1}, '{"a":1}')])
def test_input_of_the_next_execution_is_shown_as_it_was_given(client: DurableClient, value: Any, shown: str) -> None:
    """SRF-2: no value is not the value null."""
    instance_id = client.start_new("go_on_with", client_input=[value])
    drain()
    assert queries.get_instance(client.hub, instance_id).input_json == shown
    client.terminate(instance_id)
    drain()
    assert queries.get_instance(client.hub, instance_id).input_json == shown


def test_instance_before_its_time_stays_pending_whatever_comes(client: DurableClient) -> None:
    """INS-7: events wait, management is obeyed, and it starts only then."""
    instance_id = client.start_new("wait_for", client_input=["go"], start_at=timedelta(seconds=1.5))
    client.raise_event(instance_id, "go", "early")
    burst_once()
    found = queries.get_instance(client.hub, instance_id)
    assert (found.status, found.started_at, kinds_of(instance_id)) == (Status.PENDING, None, [])
    seen = []
    for order in (client.suspend, client.resume):
        order(instance_id)
        burst_once()
        found = queries.get_instance(client.hub, instance_id)
        seen.append((found.status, found.started_at))
    assert seen == [(Status.SUSPENDED, None), (Status.PENDING, None)]
    drain(until=lambda: status_of(instance_id) is Status.COMPLETED)
    found = queries.get_instance(client.hub, instance_id)
    assert (found.output_json, found.started_at is not None) == ('["early"]', True)
    kinds = kinds_of(instance_id)
    assert kinds.index("ExecutionStarted") < kinds.index("EventRaised")
