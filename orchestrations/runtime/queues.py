"""Queues of hints: their connection, who listens to them, how many hints wait, and what somebody has damaged there."""

from __future__ import annotations

from functools import cache
from typing import Any

import django_rq
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry
from rq import Queue, worker_registration
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker

from orchestrations.conf import configured_queue

COMMAND_SECONDS, CONNECT_SECONDS = 2.0, 1.0
WORKER_KEY = "rq:worker:"
LISTS = (b"list", b"none")


@cache
def connection() -> Redis:
    """Return this process's connection to Redis, as django-rq configures it: one, for every wake asks for it.

    No command waits for longer than two seconds, for it may be a request that waits, or the loop that sweeps.
    """
    found: Redis = django_rq.get_connection(configured_queue())
    options = found.connection_pool.connection_kwargs
    options.update(socket_timeout=COMMAND_SECONDS, socket_connect_timeout=CONNECT_SECONDS)
    # once, for a pooled connection may be that of a server that was restarted; never one that does not answer
    found.set_retry(Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)))
    return found


def subscription() -> Any:
    """Return a subscription to nothing yet, whose messages are news alone."""
    return connection().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]


@cache
def queue_of(name: str) -> Queue:
    """Return the RQ queue of that name, whether or not the settings list it."""
    return Queue(name, connection=connection(), serializer=JSONSerializer)


def list_worker(worker: BaseWorker, seconds: int) -> None:
    """Enter a worker into RQ's lists, or keep it there; its own entry lapses after so many seconds."""
    worker.last_heartbeat = now()
    worker.birth_date = worker.birth_date or worker.last_heartbeat
    with worker.connection.pipeline() as pipe:
        pipe.hset(worker.key, mapping=worker.serialize())
        pipe.expire(worker.key, seconds)
        worker_registration.register(worker, pipe)
        pipe.execute()


def forget_worker(name: str, queue: str) -> None:
    """Remove a worker that has ended from RQ's lists, however it ended."""
    key = f"{WORKER_KEY}{name}"
    with connection().pipeline() as pipe:
        pipe.srem(worker_registration.REDIS_WORKER_KEYS, key)
        pipe.srem(worker_registration.WORKERS_BY_QUEUE_KEY % queue, key)
        pipe.delete(key)
        pipe.execute()


def forget_lapsed_workers(queue: str) -> None:
    """Remove workers whose own entry has lapsed from RQ's list of the queue's: their supervisor was killed too."""
    worker_registration.clean_worker_registry(queue_of(queue))


def count_hints(queue: str) -> int:
    """Return how many hints wait in the queue."""
    return int(queue_of(queue).count)


def count_listeners(queue: str) -> int:
    """Return how many workers listen to the queue, as far as Redis knows."""
    return int(BaseWorker.count(queue=queue_of(queue)))


def heal(queue: str) -> list[str]:
    """Remove a queue that somebody has damaged: it is no list. Return what was removed.

    Nothing is lost by it: hints say only that it is worth asking the database.
    """
    found = queue_of(queue)
    if connection().type(found.key) in LISTS:
        return []
    connection().delete(found.key)
    return [found.key]
