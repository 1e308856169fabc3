"""What a worker makes of what lies in its queue: hints are run, all else is refused and runs nothing (SEC-20)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from rq.serializers import JSONSerializer

from orchestrations import activity
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime import jobs, queues
from orchestrations.runtime.worker import HintWorker
from orchestrations.store import clock, leases
from orchestrations.store.models import ActivityTask
from tests.bursts import drain, new_worker, status_of
from tests.store.holding import turn

QUEUE = "main.default"
TOUCHED: list[str] = []


def touch(*args: Any) -> None:
    """Stands for whatever somebody would like to have run."""
    TOUCHED.append("touched")


@pytest.fixture
def worker() -> Iterator[HintWorker]:
    TOUCHED.clear()
    HintWorker.state = new_worker()
    HintWorker.log_job_description = False
    yield HintWorker(
        [queues.queue_of(QUEUE)],
        name=HintWorker.state.owner,
        connection=queues.connection(),
        serializer=JSONSerializer,
    )
    HintWorker.state.close()


def work(worker: HintWorker) -> None:
    """Run what lies in the queue, as the worker process does, until it is empty."""
    worker.work(burst=True, logging_level="ERROR", with_scheduler=False)


def put(body: Any, **fields: Any) -> None:
    """Put a job into the queue as somebody with access to Redis can."""
    data = body if isinstance(body, bytes) else zlib.compress(json.dumps(body).encode())
    found: Any = {
        "data": data,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "origin": QUEUE,
        "status": "queued",
        **fields,
    }
    queues.connection().hset("rq:job:foreign", mapping=found)
    queues.connection().rpush(f"rq:queue:{QUEUE}", "foreign")


def begin_again() -> str:
    """Start an instance whose own hint is lost; return its id."""
    instance_id = DurableClient().start_new("plain")
    queues.connection().flushall()
    return instance_id


def test_a_hint_is_run_and_leaves_no_trace(worker: HintWorker) -> None:
    instance_id = DurableClient().start_new("plain")
    work(worker)
    assert status_of(instance_id) is Status.COMPLETED
    left = [key for key in queues.connection().keys("*") if b"job" in key or b"wake" in key or b"intermediate" in key]
    assert left == []


NAME = "tests.runtime.test_jobs.touch"
GOOD = "orchestrations.runtime.jobs.run_hint"
FOREIGN: dict[str, Any] = {
    "a foreign callable": [NAME, None, [], {}],
    "a foreign callable with a hint's arguments": [NAME, None, ["work", f"{QUEUE}/0"], {}],
    "another queue": [GOOD, None, ["work", "main.other/0"], {}],
    "another kind": [GOOD, None, ["purge", f"{QUEUE}/0"], {}],
    "a name that is no text": [GOOD, None, ["work", 7], {}],
    "too few arguments": [GOOD, None, ["work"], {}],
    "too many arguments": [GOOD, None, ["work", f"{QUEUE}/0", 1], {}],
    "no list": {"a": 1},
    "no JSON": b"\x80\x04pickle",
    "nothing": b"",
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_hint_is_refused_and_runs_nothing_and_the_worker_goes_on(worker: HintWorker, body: Any) -> None:
    instance_id = begin_again()
    put(body)
    work(worker)
    assert TOUCHED == []
    assert status_of(instance_id) is Status.PENDING
    put(body)
    queues.enqueue(QUEUE, 0)
    work(worker)
    assert TOUCHED == []
    assert status_of(instance_id) is Status.COMPLETED


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "x" * 10_000},
        {"data": zlib.compress(b"\0" * 50_000_000)},
        {"data": b"x" * 1_000_000},
        {"created_at": "yesterday"},
        {"timeout": "soon"},
        {"status": "unheard of"},
        {"dependency_ids": "{"},
    ],
    ids=["long", "bomb", "large", "bad date", "bad timeout", "bad status", "bad json"],
)
def test_a_hash_that_is_too_large_or_damaged_does_not_end_the_worker(
    worker: HintWorker, fields: dict[str, Any]
) -> None:
    instance_id = begin_again()
    put([GOOD, None, ["work", f"{QUEUE}/0"], {}], **fields)
    work(worker)
    assert status_of(instance_id) is Status.PENDING
    assert not [key for key in queues.connection().keys("*") if b"foreign" in key]
    put([GOOD, None, ["work", f"{QUEUE}/0"], {}], **fields)
    queues.enqueue(QUEUE, 0)
    work(worker)
    assert status_of(instance_id) is Status.COMPLETED


def test_the_callable_refuses_to_run_under_another_worker() -> None:
    with pytest.raises(RuntimeError, match="durable_worker"):
        jobs.run_hint("work", f"{QUEUE}/0")


# --- the database is away


@activity
def break_the_connection(_: Any) -> int:
    """As a database that restarts does."""
    if connection.vendor == "sqlite":
        connection.connection.close()
        return 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    import psycopg

    parameters = connection.get_connection_params()
    parameters = {k: parameters[k] for k in ("dbname", "user", "host") if parameters.get(k)}
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    return 1


def test_after_a_database_error_a_worker_ends_so_that_what_it_held_is_not_renewed_for_ever(worker: HintWorker) -> None:
    """The supervisor renews what living workers hold: what a broken burst held would be nobody's to turn."""
    instance_id = DurableClient().start_new("call", client_input="break_the_connection")
    turn("w", share=False, keep=False)
    queues.enqueue(QUEUE, 0)  # behind the hint in the queue: it is left to another worker
    work(worker)
    owner = HintWorker.state.owner
    connection.close()
    assert ActivityTask.objects.get().lease_owner == owner
    assert queues.count_hints(QUEUE) >= 1
    leases.expire(owner, clock.now())  # as the supervisor does for a worker that has ended
    ActivityTask.objects.update(name="echo")
    drain()
    assert status_of(instance_id) is Status.COMPLETED
