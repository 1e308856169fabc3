"""An orchestrator that leaves a transaction open, or breaks its worker otherwise, fails alone."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import translation

from orchestrations import OrchestrationContext, activity, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime.surroundings import FORKED_EXIT
from orchestrations.store import activities
from orchestrations.store.models import Schedule, TaskHub
from tests.bursts import drain, new_worker, run, status_of
from tests.histories import count_events

Body = Generator[Any, Any, Any]
DONE: list[str] = []


@activity(at_most_once=True)
def note(line: str) -> str:
    DONE.append(line)
    return line


@orchestrator
def bystander(context: OrchestrationContext, count: int) -> Body:
    for number in range(count):
        yield context.call_activity("note", f"{context.instance_id} {number}")
    return count


@orchestrator
def wait_in_a_transaction(context: OrchestrationContext) -> Body:
    """An easy mistake: the block is left when the activity has ended."""
    with transaction.atomic():
        TaskHub.objects.create(name="leftover")
        yield context.call_activity("echo", 1)


@orchestrator
def begin_by_hand(context: OrchestrationContext) -> Body:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    return (yield context.call_activity("echo", 1))


@orchestrator
def close_the_driver(context: OrchestrationContext) -> Body:
    connection.ensure_connection()
    connection.connection.close()
    return (yield context.call_activity("echo", 1))


@orchestrator
def change_the_folder(context: OrchestrationContext) -> Body:
    os.chdir("/")
    return (yield context.call_activity("echo", 1))


@orchestrator
def begin_when_closed(context: OrchestrationContext) -> Body:
    """Its `finally` runs when the body is thrown away, at a time that nobody can name."""
    try:
        yield context.wait_for_external_event("never")
    finally:
        transaction.atomic().__enter__()


@orchestrator
def fork_in_a_turn(context: OrchestrationContext) -> Body:
    return os.fork()
    yield


@orchestrator
def speak(context: OrchestrationContext) -> Body:
    """The language is the body's own, in a live body as on replay."""
    translation.activate("de")
    yield context.call_activity("echo", 1)
    return translation.get_language()


@orchestrator
def ask_for_the_language(context: OrchestrationContext) -> Body:
    yield context.call_activity("echo", 1)
    return translation.get_language()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wait_in_a_transaction", "left a transaction open"),
        ("begin_by_hand", "left a transaction open"),
        ("close_the_driver", "closed the driver's connection"),
        ("change_the_folder", "changed the working directory"),
    ],
)
def test_it_fails_with_a_sentence_and_its_neighbours_run_each_step_once(name: str, words: str) -> None:
    DONE.clear()
    client = DurableClient()
    before = [client.start_new("bystander", client_input=3) for _ in range(3)]
    guilty = client.start_new(name)
    after = [client.start_new("bystander", client_input=3) for _ in range(3)]
    folder = os.getcwd()
    drain()
    status = client.get_status(guilty)
    assert status.runtime_status is Status.FAILED
    assert status.failure is not None
    assert status.failure.error_type == "orchestrations.errors.LeftoverError"
    assert words in status.failure.message
    assert f"Orchestrator '{name}'" in status.failure.message
    assert {status_of(i) for i in before + after} == {Status.COMPLETED}
    assert sorted(DONE) == sorted(f"{i} {n}" for i in before + after for n in range(3))
    assert os.getcwd() == folder
    assert not TaskHub.objects.filter(name="leftover").exists()
    assert not Schedule.objects.exclude(losses=0).exists()


def test_what_a_body_leaves_when_it_is_closed_swallows_nobody_s_commit() -> None:
    worker = new_worker()
    client = DurableClient()
    guilty = client.start_new("begin_when_closed")
    drain(worker)
    client.terminate(guilty, "enough")
    beside = client.start_new("sequence", client_input=2)
    drain(worker)
    assert connection.in_atomic_block is False
    connection.close()  # what was not committed is gone with it
    assert (status_of(guilty), status_of(beside)) == (Status.TERMINATED, Status.COMPLETED)
    worker.close()
    connection.close()


def test_a_child_that_an_orchestrator_forks_and_lets_return_is_not_the_worker() -> None:
    status = run("fork_in_a_turn")
    assert status.runtime_status is Status.COMPLETED
    assert isinstance(status.output, int)
    assert os.waitstatus_to_exitcode(os.waitpid(status.output, 0)[1]) == FORKED_EXIT
    assert count_events("ExecutionCompleted") == 1


def test_a_language_is_the_body_s_own_and_nobody_else_s() -> None:
    client = DurableClient()
    speakers = [client.start_new("speak"), client.start_new("ask_for_the_language"), client.start_new("speak")]
    drain()
    assert [client.get_status(i).output for i in speakers] == ["de", "en", "de"]


def test_settling_refuses_to_run_in_somebody_s_transaction() -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        activities.settle([], "w")
