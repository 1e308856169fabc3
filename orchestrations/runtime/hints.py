"""Hints: jobs that say "this queue has work". Their id says all that a worker reads of them.

A hint has a token, a small number, and so a job id that is always the same; a key in Redis says that it is on its way.
Whoever offers one makes key and job in one step, unless the key is there; whoever has taken one deletes the key before
he claims. So who found the key had committed before that claim. RQ's own tools see an ordinary job.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from redis.commands.core import Script
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat

from orchestrations.runtime.queues import LISTS, connection, queue_of

PROBE, PROBE_MILLISECONDS = "durable:probe", 1000
CALLABLE = "orchestrations.runtime.jobs.run_hint"
FAILURE_SECONDS = 3600
"""For how long RQ keeps a hint that a worker of its own, not ours, has tried to run."""

_OFFER = """
redis.pcall('SADD', KEYS[2], KEYS[1])
for place = 3, #KEYS, 2 do
    local key, job = KEYS[place], KEYS[place + 1]
    local left = redis.call('PTTL', key)
    if left < 0 or left > tonumber(ARGV[1]) then
        redis.call('RPUSH', KEYS[1], string.sub(job, ARGV[2] + 1))
        redis.call('DEL', job)
        redis.call('HSET', job, unpack(ARGV, 3))
        redis.call('SET', key, 1, 'PX', ARGV[1])
    end
end
"""
"""RQ's queue, RQ's list of queues, then for each hint its key and its job; how long a key lives, the length of what
precedes the id in a job's key, the job's fields. What may find something damaged there comes first. A key that would
live longer than one of ours, or for ever, is not ours."""


def token_key(queue: str, token: int) -> str:
    """Return the key that says that the hint with this token is on its way."""
    return f"durable:wake:{queue}/{token}"


def offer(queue: str, tokens: Sequence[int], milliseconds: int) -> None:
    """Put the hints into the queue, but for those that are on their way; forget in so many milliseconds that they are.

    One round trip; each hint is there with its key or not at all. A hint that has waited for longer than its key has
    lived may be there twice, and RQ's tools see one of them only. Raises what Redis raises.
    """
    keys = [queue_of(queue).key, Queue.redis_queues_keys]
    for token in tokens:
        keys += [token_key(queue, token), Job.key_for(_id_of(queue, token))]
    moment = utcformat(now())
    fields = [*_fields(queue), "created_at", moment, "enqueued_at", moment]
    _script()(keys=keys, args=[milliseconds, len(Job.redis_job_namespace_prefix), *fields], client=connection())


def can_carry(queue: str) -> bool:
    """Tell whether a hint for the queue can be written now. Raises what Redis raises, for instance when it is full."""
    with connection().pipeline(transaction=False) as pipe:
        pipe.set(PROBE, 1, px=PROBE_MILLISECONDS)
        pipe.type(queue_of(queue).key)
        _, kind = pipe.execute()
    offer(queue, (), PROBE_MILLISECONDS)
    return kind in LISTS


def take(queue: str, seconds: float | None) -> bytes | None:
    """Take the next job's id, waiting so long at most (None: not at all). Raises what Redis raises.

    It is to be accepted as a hint or refused. Nothing else of it is read: our worker runs one function, whatever Redis
    says (SEC-20).
    """
    found = queue_of(queue)
    try:
        taken = Queue.lmove(found.connection, found.key, seconds)  # type: ignore[arg-type]  # Redis takes fractions
    except DequeueTimeout:
        return None
    return None if taken is None else bytes(taken[1])


def token_of(queue: str, job_id: bytes) -> int | None:
    """Return the token of a job of the queue; None if that is no hint."""
    token = job_id.rpartition(b"-")[2]
    is_hint = token.isdigit() and len(token) < 5 and job_id == _id_of(queue, int(token)).encode()
    return int(token) if is_hint else None


def accept(queue: str, token: int) -> None:
    """Remove all traces of a hint that has been taken, its key as well. Raises what Redis raises."""
    _forget(queue, _id_of(queue, token).encode(), token_key(queue, token))


def refuse(queue: str, job_id: bytes) -> None:
    """Remove all traces of a job that is no hint. Raises what Redis raises."""
    _forget(queue, job_id)


def _forget(queue: str, job_id: bytes, *keys: str) -> None:
    with connection().pipeline(transaction=False) as pipe:
        pipe.lrem(queue_of(queue).intermediate_queue_key, 0, job_id)  # type: ignore[arg-type]
        pipe.delete(Job.redis_job_namespace_prefix.encode() + job_id, *keys)
        pipe.execute()


def _id_of(queue: str, token: int) -> str:
    return f"{queue.replace('.', '-')}-{token}"


@cache
def _script() -> Script:
    return connection().register_script(_OFFER)


@cache
def _fields(queue: str) -> list[str | bytes | int]:
    """Return what RQ stores of such a job, field by field, but for the instants."""
    job = Job.create(
        CALLABLE,
        args=(queue,),
        origin=queue,
        status=JobStatus.QUEUED,
        timeout=-1,
        result_ttl=0,
        failure_ttl=FAILURE_SECONDS,
        connection=connection(),
        serializer=JSONSerializer,
    )
    fields = {name: value for name, value in job.to_dict().items() if value != "" and name != "created_at"}
    return [part for field in fields.items() for part in field]
