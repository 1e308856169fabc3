"""Queues of hints: their connection, their jobs' body, and how many wait. All contact with RQ's queue is in here."""

from __future__ import annotations

from functools import cache
from typing import Any

import django_rq
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from orchestrations.conf import default_queue

CALLABLE = "orchestrations.runtime.jobs.run_hint"
BODY_LIMIT = 4096
FAILURE_SECONDS = 3600


class HintJob(Job):
    """A hint. Its callable is never looked up by name: our worker runs one function whatever Redis says (SEC-20)."""

    def restore(self, raw_data: dict[bytes, bytes]) -> None:
        """Read the hash, unless it is larger than a hint can be; checked before anything is decompressed.

        Nothing is raised, which would end the worker: what cannot be read is a job without arguments, and refused.
        """
        try:
            if sum(len(value) for value in raw_data.values()) > BODY_LIMIT:
                raise ValueError(f"larger than {BODY_LIMIT} bytes")
            super().restore(raw_data)
        except NoSuchJobError:
            raise
        except Exception:
            self.data = b""


@cache
def connection() -> Redis:
    """Return this process's connection to Redis, as django-rq configures it: one, for every wake asks for it."""
    found: Redis = django_rq.get_connection(default_queue())
    return found


def subscription() -> Any:
    """Return a subscription to nothing yet, whose messages are news alone."""
    return connection().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]


@cache
def queue_of(name: str) -> Queue:
    """Return the RQ queue of that name, whether or not the settings list it."""
    return Queue(name, connection=connection(), serializer=JSONSerializer, job_class=HintJob)


def enqueue(queue: str, token: int) -> None:
    """Put one hint into the queue. Raises what Redis raises."""
    queue_of(queue).enqueue_call(
        CALLABLE, args=("work", f"{queue}/{token}"), timeout=-1, result_ttl=0, failure_ttl=FAILURE_SECONDS
    )


def forget(job: Job, queue: Queue) -> None:
    """Remove all traces of a hint that has been taken."""
    with queue.connection.pipeline(transaction=False) as pipe:
        pipe.lrem(queue.intermediate_queue_key, 1, job.id)
        pipe.delete(job.key)
        pipe.execute()


def count_hints(queue: str) -> int:
    """Return how many hints wait in the queue."""
    return int(queue_of(queue).count)


def count_listeners(queue: str) -> int:
    """Return how many workers listen to the queue, as far as Redis knows."""
    return int(BaseWorker.count(queue=queue_of(queue)))


def ping() -> bool:
    """Tell whether Redis answers."""
    return bool(connection().ping())
