"""Hints: jobs that say "this queue has work". Their id says all that a worker reads of them.

A hint has a token, a small number, and so a job id that is always the same; a key in Redis says that it is on its way.
Whoever offers one makes key and job in one step, unless the key is there; whoever has taken one deletes the key before
he claims. So who found the key had committed before that claim. RQ's own tools see an ordinary job.

A worker that has taken hint 0 attends to the queue as long as it says so every few milliseconds. Meanwhile hint 0 is a
bell for it alone, and no job: it finds what it is told of at its next claim, and others stay asleep, for many small
claims cost more than a few large ones. Others are called by hints with other tokens. As soon as nobody attends any
more, whoever comes next makes of the bell a job for all.
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

CHANNEL = "durable:due"
"""Where supervisors hear of instants at which queues are due, and of queues that somebody attends to."""

ATTENDED = "attended"
"""What follows the queue there in place of an instant."""

ATTENDED_MILLISECONDS, WAITING_MILLISECONDS = 70, 120
"""For how long an attendant need not say so again: at work, and while it waits, for Redis' waits end when its clock
ticks, every 100 ms."""

PROBE, PROBE_MILLISECONDS = "durable:probe", 1000
CALLABLE = "orchestrations.runtime.jobs.run_hint"
FAILURE_SECONDS = 3600
"""For how long RQ keeps a hint that a worker of its own, not ours, has tried to run."""

_OFFER = """
local queue, attended, bell, first = KEYS[1], KEYS[3], KEYS[4], KEYS[5]
local function is_ours(key, most)
    local left = redis.call('PTTL', key)
    return left >= 0 and left <= tonumber(most)
end
local function put(job)
    local id = string.sub(job, ARGV[3] + 1)
    redis.call('LREM', queue, 0, id)
    redis.call('RPUSH', queue, id)
    redis.call('DEL', job)
    redis.call('HSET', job, unpack(ARGV, 4))
end
redis.pcall('SADD', KEYS[2], queue)
local has_attendant = is_ours(attended, ARGV[2])
if not has_attendant and redis.call('EXISTS', bell) == 1 then
    put(first)
    redis.call('DEL', bell)
end
for place = 6, #KEYS, 2 do
    local key, job = KEYS[place], KEYS[place + 1]
    if not is_ours(key, ARGV[1]) then
        if has_attendant and job == first then
            redis.call('DEL', bell)
            redis.call('RPUSH', bell, 1)
        else
            put(job)
        end
        redis.call('SET', key, 1, 'PX', ARGV[1])
    end
end
return has_attendant
"""
"""RQ's queue, RQ's list of queues, who attends, its bell, the job of hint 0, then for each hint its key and its job;
how long a key lives, how long an attendant's does, the length of what precedes the id in a job's key, the job's fields.
What may find something damaged there comes first. A key that would live longer than one of ours is not ours."""

_ACCEPT = """
redis.call('DEL', KEYS[1], KEYS[2])
if #KEYS == 2 then return 0 end
local who, left = redis.pcall('GET', KEYS[3]), redis.call('PTTL', KEYS[3])
if left >= 0 and left <= tonumber(ARGV[3]) and who ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[4])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
if who ~= ARGV[1] then redis.pcall('PUBLISH', ARGV[4], ARGV[5]) end
return 1
"""
"""The hint's key, its job, and for hint 0 who attends, and the bell; the owner, how long its key lives and how long one
of ours may, whom to tell what: not all may be told."""

_STAY = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1
"""


def token_key(queue: str, token: int) -> str:
    """Return the key that says that the hint with this token is on its way."""
    return f"durable:wake:{queue}/{token}"


def attended_key(queue: str) -> str:
    """Return the key that says who attends to the queue."""
    return f"durable:attended:{queue}"


def bell_key(queue: str) -> str:
    """Return the list on which the attendant of the queue waits."""
    return f"durable:bell:{queue}"


def offer(queue: str, tokens: Sequence[int], milliseconds: int) -> bool:
    """Put the hints into the queue, but for those that are on their way; forget in so many milliseconds that they are.

    Hint 0 rings for who attends to the queue. A bell that nobody hears any more becomes a job, also with no tokens.
    Tells whether somebody attends. One round trip; each hint is there once, with its key, or not at all. Raises what
    Redis raises.
    """
    keys = [queue_of(queue).key, Queue.redis_queues_keys, attended_key(queue), bell_key(queue), _job_key(queue, 0)]
    for token in tokens:
        keys += [token_key(queue, token), _job_key(queue, token)]
    moment = utcformat(now())
    lengths = [milliseconds, _longest(), len(Job.redis_job_namespace_prefix)]
    fields = [*_fields(queue), "created_at", moment, "enqueued_at", moment]
    return bool(_script(_OFFER)(keys=keys, args=[*lengths, *fields], client=connection()))


def can_carry(queue: str) -> bool:
    """Tell whether a hint for the queue can be written now. Raises what Redis raises, for instance when it is full."""
    with connection().pipeline(transaction=False) as pipe:
        pipe.set(PROBE, 1, px=PROBE_MILLISECONDS)
        pipe.type(queue_of(queue).key)
        _, kind = pipe.execute()
    offer(queue, (), PROBE_MILLISECONDS)
    return kind in LISTS


def take(queue: str, seconds: float | None, *, attends: bool = False) -> bytes | None:
    """Take the next job's id, waiting so long at most (None: not at all). Raises what Redis raises.

    It is to be accepted as a hint or refused. Nothing else of it is read: our worker runs one function, whatever Redis
    says (SEC-20). Who `attends` hears the bell first; it rings for hint 0.
    """
    found, bell = queue_of(queue), bell_key(queue)
    keys = [bell, found.key] if attends else [found.key]
    try:
        taken = Queue.lpop(keys, seconds, found.connection)  # type: ignore[arg-type]  # Redis takes fractions
    except DequeueTimeout:
        return None
    if taken is None:
        return None
    key, job_id = taken
    return _id_of(queue, 0).encode() if key in (bell, bell.encode()) else bytes(job_id)


def token_of(queue: str, job_id: bytes) -> int | None:
    """Return the token of a job of the queue; None if that is no hint."""
    token = job_id.rpartition(b"-")[2]
    is_hint = token.isdigit() and len(token) < 5 and job_id == _id_of(queue, int(token)).encode()
    return int(token) if is_hint else None


def accept(queue: str, token: int, owner: str) -> bool:
    """Remove all traces of a hint that has been taken, its key as well. Raises what Redis raises.

    Who accepts hint 0 attends to the queue for a moment, unless another does; tells whether the owner does. It may be
    accepted again and again, to go on attending: then the bell, which what is claimed next is the answer to, is still.
    """
    keys = [token_key(queue, token), _job_key(queue, token)]
    if token == 0:
        keys += [attended_key(queue), bell_key(queue)]
    arguments: list[str | int] = [owner, ATTENDED_MILLISECONDS, _longest(), CHANNEL, f"{queue} {ATTENDED}"]
    return bool(_script(_ACCEPT)(keys=keys, args=arguments, client=connection()))


def stay(queue: str, owner: str) -> bool:
    """Attend for another moment, waiting; tells whether the owner still did. Raises what Redis raises."""
    return bool(_script(_STAY)(keys=[attended_key(queue)], args=[owner, WAITING_MILLISECONDS], client=connection()))


def leave(queue: str, owner: str) -> None:
    """Attend no more; what has rung meanwhile is a job for all. Raises what Redis raises."""
    _script(_STAY)(keys=[attended_key(queue)], args=[owner, 0], client=connection())
    offer(queue, (), PROBE_MILLISECONDS)


def refuse(queue: str, job_id: bytes) -> None:
    """Remove all traces of a job that is no hint. Raises what Redis raises."""
    connection().delete(Job.redis_job_namespace_prefix.encode() + job_id)


def _longest() -> int:
    """Return for how long an attendant's key lives at most: one that would live longer is not ours."""
    return max(ATTENDED_MILLISECONDS, WAITING_MILLISECONDS)


def _job_key(queue: str, token: int) -> str:
    return str(Job.key_for(_id_of(queue, token)))


def _id_of(queue: str, token: int) -> str:
    return f"{queue.replace('.', '-')}-{token}"


@cache
def _script(text: str) -> Script:
    return connection().register_script(text)


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
