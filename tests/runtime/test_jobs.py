"""What a worker makes of what lies in its queue: hints are run, all else is refused and runs nothing (SEC-20)."""

from __future__ import annotations

import json
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from rq import Queue
from rq.serializers import JSONSerializer

from orchestrations import activity
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.runtime import hints, jobs, queues
from orchestrations.runtime.worker import HintWorker, Place
from orchestrations.store import activities
from orchestrations.store.models import ActivityTask, Schedule
from tests.bursts import new_worker, status_of
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


def hint_again() -> None:
    """Put the queue's first hint into it, whether or not it is on its way."""
    queues.connection().delete(hints.token_key(QUEUE, 0))
    hints.offer(QUEUE, [0], 1000)


def put(body: Any, job_id: str | bytes = "foreign", **fields: Any) -> None:
    """Put a job into the queue as somebody with access to Redis can."""
    data = body if isinstance(body, bytes) else zlib.compress(json.dumps(body).encode())
    found: Any = {
        "data": data,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "origin": QUEUE,
        "status": "queued",
        **fields,
    }
    key = job_id if isinstance(job_id, bytes) else job_id.encode()
    queues.connection().hset(b"rq:job:" + key, mapping=found)
    queues.connection().rpush(f"rq:queue:{QUEUE}", job_id)


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
HINT = "main-default-0"
FOREIGN_IDS: dict[str, str | bytes] = {
    "another job": "5b0c0a4e-5b8a-4d0e-8f0b-0123456789ab",
    "another queue's": "main-other-0",
    "no token": "main-default-",
    "no number": "main-default-x",
    "no plain number": "main-default-00",
    "a number of another script": "main-default-\u0663",
    "a long number": "main-default-" + "9" * 5000,
    "more than a hint": HINT + "\n",
    "long": "x" * 1_000_000,
    "no text": b"\xff\x00",
    "empty": "",
}
BODIES: dict[str, Any] = {
    "a foreign callable": [NAME, None, [], {}],
    "a foreign callable with a hint's arguments": [NAME, None, [QUEUE], {}],
    "another queue": [GOOD, None, ["main.other"], {}],
    "no list": {"a": 1},
    "no JSON": b"\x80\x04pickle",
    "nothing": b"",
    "a bomb": zlib.compress(b"\0" * 50_000_000),
    "large": b"x" * 1_000_000,
}
FIELDS = [{"created_at": "yesterday"}, {"timeout": "soon"}, {"status": "unheard of"}, {"dependency_ids": "{"}]


@pytest.mark.parametrize("job_id", FOREIGN_IDS.values(), ids=FOREIGN_IDS)
def test_what_is_no_hint_is_refused_and_runs_nothing_and_the_worker_goes_on(
    worker: HintWorker, job_id: str | bytes
) -> None:
    instance_id = begin_again()
    put([NAME, None, [], {}], job_id)
    work(worker)
    assert TOUCHED == []
    assert status_of(instance_id) is Status.PENDING
    assert not [key for key in queues.connection().keys("*") if b"job" in key or b"intermediate" in key]
    put([NAME, None, [], {}], job_id)
    hint_again()
    work(worker)
    assert TOUCHED == []
    assert status_of(instance_id) is Status.COMPLETED


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_a_forged_hint_names_is_not_even_read(worker: HintWorker, body: Any) -> None:
    instance_id = begin_again()
    for fields in ({}, *FIELDS):
        put(body, HINT, **fields)
    work(worker)
    assert TOUCHED == []
    assert not worker.has_failed
    assert status_of(instance_id) is Status.COMPLETED


def test_a_forged_job_does_not_stand_in_the_way_of_a_hint(worker: HintWorker) -> None:
    instance_id = begin_again()
    queues.connection().set(f"rq:job:{HINT}", "no hash")
    hint_again()
    work(worker)
    assert status_of(instance_id) is Status.COMPLETED


def test_rqs_own_tools_see_an_ordinary_job() -> None:
    DurableClient().start_new("plain")
    (job,) = queues.queue_of(QUEUE).jobs
    assert (job.id, job.func_name, job.args, job.origin) == (HINT, GOOD, [QUEUE], QUEUE)
    assert job.get_status() == "queued"
    assert job.enqueued_at is not None
    assert queues.queue_of(QUEUE) in Queue.all(queues.connection(), serializer=JSONSerializer)


def test_the_callable_refuses_to_run_under_another_worker() -> None:
    with pytest.raises(RuntimeError, match="durable_worker"):
        jobs.run_hint(QUEUE)


# --- the database is away


class HardFault(BaseException):
    pass


CALLS: list[int] = []


@activity
def count_calls(_: Any) -> int:
    CALLS.append(1)
    return 1


@activity
def break_the_connection(_: Any) -> int:
    """As a database that restarts does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    import psycopg

    parameters = connection.get_connection_params()
    parameters = {k: parameters[k] for k in ("dbname", "user", "host") if parameters.get(k)}
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    return 1


def test_after_a_database_error_a_worker_gives_back_what_it_held_and_goes_on(worker: HintWorker) -> None:
    """A restart of the database costs a moment: no worker process, no lost attempt, no wait for a lease."""
    if connection.vendor == "sqlite":
        pytest.skip("there is no server to lose")
    instance_id = DurableClient().start_new("call", client_input="break_the_connection")
    beside = DurableClient().start_new("plain")
    work(worker)
    assert not worker.has_failed
    assert status_of(beside) is Status.COMPLETED
    assert status_of(instance_id) is Status.COMPLETED
    assert not Schedule.objects.exclude(lease_owner="", losses=0).exists()


def test_a_statement_that_the_database_refuses_once_costs_no_result(
    worker: HintWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was finished when the fault came is settled after it, and not run again."""
    CALLS.clear()
    instance_id = DurableClient().start_new("call", client_input="count_calls")
    turn("somebody", share=False, keep=False)
    real, faults = activities.settle, [OperationalError("the server went away")]

    def settle(*args: Any) -> int:
        if faults:
            raise faults.pop()
        return real(*args)

    monkeypatch.setattr(activities, "settle", settle)
    hint_again()
    work(worker)
    work(worker)
    assert status_of(instance_id) is Status.COMPLETED
    assert CALLS == [1]
    assert not ActivityTask.objects.exists()


def test_a_worker_is_listed_where_rq_looks_and_gone_when_it_has_ended(worker: HintWorker) -> None:
    worker._stay_listed()
    assert queues.count_listeners(QUEUE) == 1
    assert queues.connection().ttl(worker.key) <= 120
    queues.forget_worker(worker.name, QUEUE)
    assert queues.count_listeners(QUEUE) == 0
    assert not queues.connection().exists(worker.key)


def test_a_worker_that_was_killed_with_its_supervisor_lapses(worker: HintWorker) -> None:
    worker._stay_listed()
    queues.connection().delete(worker.key)  # as Redis does two minutes after its last sign of life
    queues.forget_lapsed_workers(QUEUE)
    assert queues.count_listeners(QUEUE) == 0


def test_a_signal_stops_the_worker_without_raising_anything(worker: HintWorker) -> None:
    worker.request_stop(signal.SIGTERM, None)
    DurableClient().start_new("plain")
    work(worker)
    assert queues.count_hints(QUEUE) == 1


def test_an_error_that_nobody_foresaw_ends_the_worker_and_is_told(
    worker: HintWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def burst(self: object) -> None:
        raise HardFault("no idea")

    monkeypatch.setattr("orchestrations.runtime.bursts.Burst.run", burst)
    worker.place = Place("w", "s", 1, QUEUE, tmp_path / "w")
    DurableClient().start_new("plain")
    work(worker)
    assert worker.has_failed
    assert (tmp_path / "w.words").read_text() == "tests.runtime.test_jobs.HardFault: no idea"
