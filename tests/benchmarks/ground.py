"""What the ground allows: rates of the plainest things on the same database and queue, measured beside each figure.

A figure is published as its ratio to one of these, for machines differ by a factor and moments of one machine do too.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.db import connection, models
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from orchestrations.runtime import queues

RAW_COMMIT, CREATE, BULK = "raw insert + commit", "objects.create", "bulk_create rows"
HAND_OVER, EMPTY_JOB = "Redis hand-over", "RQ empty job"

RAW_ROWS, CREATED_ROWS, BULK_ROWS, HAND_OVERS, JOBS = 120, 60, 1000, 100, 200
REPEATS = 3
JOB = "tests.benchmarks.ground.do_nothing"


class GroundRow(models.Model):
    """A small row as any application has one."""

    name = models.CharField(max_length=100)
    body = models.TextField()

    objects: ClassVar[models.Manager[GroundRow]] = models.Manager()

    class Meta:
        app_label = "durable_ground"

    def __str__(self) -> str:
        return self.name


def do_nothing() -> None:
    """The empty job."""


@contextmanager
def table() -> Iterator[None]:
    """Make the table of `GroundRow`, and drop it in the end."""
    with connection.schema_editor() as editor:
        editor.create_model(GroundRow)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(GroundRow)


class Ground:
    """Samples of the ground figures, each in operations per second."""

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = {}

    def sample(self, *, jobs: bool = False) -> None:
        """Measure each once more, in a fraction of a second; with `jobs` RQ as well, in about a second."""
        self._add(RAW_COMMIT, RAW_ROWS, _insert_raw)
        self._add(CREATE, CREATED_ROWS, _create)
        self._add(BULK, BULK_ROWS, _create_in_bulk)
        self._add(HAND_OVER, HAND_OVERS, _hand_over)
        GroundRow.objects.all().delete()
        if jobs:
            _enqueue_empty_jobs()
            self._add(EMPTY_JOB, JOBS, _run_empty_jobs)

    def rate(self, name: str) -> float:
        """Return the median of the samples, in operations per second."""
        return statistics.median(self._samples[name])

    def milliseconds(self, name: str) -> float:
        """Return how long one of these operations takes."""
        return 1000 / self.rate(name)

    def _add(self, name: str, count: int, operate: Callable[[], None]) -> None:
        began = time.perf_counter()
        operate()
        self._samples.setdefault(name, []).append(count / (time.perf_counter() - began))


def repeat(ground: Ground, measure: Callable[[], float], *, jobs: bool = False) -> float:
    """Return the median of three measurements; the ground is measured before, between and after them."""
    ground.sample(jobs=jobs)
    found = []
    for _ in range(REPEATS):
        found.append(measure())
        ground.sample(jobs=jobs)
    return statistics.median(found)


def _insert_raw() -> None:
    statement = f"INSERT INTO {GroundRow._meta.db_table} (name, body) VALUES (%s, %s)"
    for number in range(RAW_ROWS):
        with connection.cursor() as cursor:
            cursor.execute(statement, [f"row {number}", "body"])


def _create() -> None:
    for number in range(CREATED_ROWS):
        GroundRow.objects.create(name=f"row {number}", body="body")


def _create_in_bulk() -> None:
    GroundRow.objects.bulk_create([GroundRow(name=f"row {number}", body="body") for number in range(BULK_ROWS)])


def _hand_over() -> None:
    redis = queues.connection()
    for _ in range(HAND_OVERS):
        redis.lpush("ground", "hint")
        redis.brpop(["ground"])


def _queue() -> Queue:
    return Queue("ground-jobs", connection=queues.connection(), serializer=JSONSerializer)


def _enqueue_empty_jobs() -> None:
    queue = _queue()
    queue.enqueue_many([Queue.prepare_data(JOB, result_ttl=0) for _ in range(JOBS)])


def _run_empty_jobs() -> None:
    """RQ's own SimpleWorker, as it comes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    worker = SimpleWorker([_queue()], connection=queues.connection(), serializer=JSONSerializer)
    worker.log_job_description = False
    try:
        worker.work(burst=True, logging_level="WARNING")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert _queue().count == 0, "RQ has left empty jobs"
