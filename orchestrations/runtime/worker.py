"""The RQ worker: it runs hints in its own process, without fork, and does none of RQ's bookkeeping for jobs.

It keeps what RQ knows of workers (who listens to which queue, in sets that RQ's own tools read), takes jobs from the
queue by RQ's own call, and has a loop of its own: RQ's raises exceptions from signal handlers, and they would hit user
code. A signal only sets a flag here.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from django.db import Error
from redis import Redis
from redis.exceptions import RedisError
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

from orchestrations import telemetry
from orchestrations.authoring.registry import KINDS, registry
from orchestrations.conf import conf
from orchestrations.engine.failures import FailureDetails
from orchestrations.faults import crashpoint
from orchestrations.runtime import hints, queues, surroundings
from orchestrations.runtime.attendance import Attendance
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.jobs import take_hint
from orchestrations.runtime.retries import through_outage
from orchestrations.runtime.wake import wake
from orchestrations.runtime.watch import State, Watch
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import clock, leases, processes
from orchestrations.store.sqlite import gate

SPOILT_EXIT, BROKEN_EXIT, ORPHAN_EXIT = 3, 4, 5
REGISTER_SECONDS = 30.0
LISTED_SECONDS = 120
PAUSE_SECONDS = 0.5
WORDS_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Place:
    """What a supervisor tells the worker that it starts: who it is, whose, for which queue, and where to say so."""

    worker: str
    supervisor: str
    parent: int
    queue: str
    watch: Path
    threads: int | None = None

    @property
    def words(self) -> Path:
        """The file for what a worker has to say before it ends."""
        return self.watch.with_suffix(".words")


class HintWorker(SimpleWorker):
    """Listens to one queue and runs a burst for each hint, until a signal asks it to stop."""

    state: WorkerState
    place: Place | None = None
    has_failed = False
    _registered_at = 0.0

    @cached_property
    def _attendance(self) -> Attendance:
        return Attendance(self.queues[0].name, self.state.owner)

    def work(self, burst: bool = False, **_: Any) -> bool:  # type: ignore[override]
        """Work until a signal asks to stop or the process is to be replaced; with `burst`, until the queue is empty."""
        count = 0
        while not self._is_over():
            job_id = self._take(wait=not burst)
            if job_id is not None:
                self._run_hint(job_id)
                count += 1
            elif burst:
                break
        self._enter(State.WORKING)
        if self.has_failed:  # what the burst held must run out, so nothing here may look alive for long
            self.state.lanes.drain(seconds=conf.STOP_SECONDS)
        else:
            self.state.lanes.drain(self.state.move)
        self._say_goodbye()
        return count > 0

    def _run_hint(self, job_id: bytes) -> None:
        """Run the hint. RQ's results, retries, timeouts and registries are not used."""
        self._enter(State.WORKING)
        crashpoint("popped")
        queue = self.queues[0].name
        token = hints.token_of(queue, job_id)
        burst = Burst(self.state, queue, self._attendance, should_stop=lambda: self._stop_requested)
        try:
            if token is None:
                telemetry.report(telemetry.HINT_REFUSED, level=logging.WARNING, worker=self.name, queue=queue)
                hints.refuse(queue, job_id)
            else:
                take_hint(token, self._attendance, burst)
        except Error as error:
            telemetry.report(telemetry.BURST_FAILED, level=logging.ERROR, error=error)
            self._recover(burst)
        except (RedisError, OSError) as error:  # the sweeper will hint again
            telemetry.report(telemetry.QUEUE_FAILED, level=logging.WARNING, error=error)
            self._recover(burst)
        except BaseException as error:
            self._fail(error)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the present turn or activity; a second signal ends the process at once, as safely as a kill."""
        if self._stop_requested:
            os._exit(128 + signum)
        self._stop_requested = True

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave it as it is: RQ would let every command wait for seven minutes."""
        return connection

    def _is_over(self) -> bool:
        return self._stop_requested or self.has_failed or self.state.is_spoilt

    def _take(self, *, wait: bool) -> bytes | None:
        """Take the next job's id; None if there was none within half a second, or the queue cannot be asked."""
        self._enter(State.IDLE)
        try:
            self._stay_listed()
            if not self.state.can_take_all():
                self._attendance.end()  # or it would hear alone of what it leaves to others
            return self._attendance.take(PAUSE_SECONDS if wait else None)
        except (RedisError, OSError) as error:
            telemetry.report(telemetry.QUEUE_FAILED, level=logging.WARNING, error=error)
            self._registered_at = 0.0
            time.sleep(PAUSE_SECONDS)
            return None

    def _stay_listed(self) -> None:
        """Keep our entry in RQ's list of workers; it lapses two minutes after we do."""
        if time.monotonic() - self._registered_at > REGISTER_SECONDS:
            queues.list_worker(self, LISTED_SECONDS)
            self._registered_at = time.monotonic()

    def _say_goodbye(self) -> None:
        if self._is_over():
            wake(self.queues[0].name)  # it may have taken a hint, and claimed nothing after that
        try:
            self._attendance.end()
            queues.forget_worker(self.name, self.queues[0].name)
        except (RedisError, OSError) as error:
            telemetry.report(telemetry.QUEUE_FAILED, level=logging.DEBUG, error=error)

    def _recover(self, burst: Burst) -> None:
        """Let go of what the burst held, as soon as the database lets us: nothing of it counts as lost."""
        self.state.bodies.clear()
        through_outage(burst.give_up, give_up=lambda: self._stop_requested, pulse=self.state.move)
        wake(self.queues[0].name)  # for what its hint has told of

    def _fail(self, error: BaseException) -> None:
        """End, for nobody knows in what state the burst was left; leave the reason for the supervisor."""
        self.has_failed = True
        details = FailureDetails.from_exception(error)
        telemetry.report(telemetry.BURST_FAILED, level=logging.ERROR, error=error)
        logging.getLogger(__name__).error("%s", details.stack_trace)
        if self.place is not None:
            text = f"{details.error_type}: {details.message}"
            self.place.words.write_text(text[:WORDS_LIMIT], encoding="utf-8", errors="replace")

    def _enter(self, state: State) -> None:
        if self.state.watch is not None:
            self.state.watch.enter(state)


def run_worker(place: Place) -> int:
    """Run a worker process until it is told to stop; return its exit code."""
    if sys.platform != "linux":  # elsewhere the kernel has bound us to our supervisor before this program began
        threading.Thread(target=_watch_parent, args=(place.parent,), daemon=True).start()
    fingerprint = registry.fingerprint()
    surroundings.part_from_forks()
    gate.step_aside()
    worker = HintWorker(
        [queues.queue_of(place.queue)],
        name=place.worker,
        connection=queues.connection(),
        serializer=JSONSerializer,
        prepare_for_work=False,  # it asks Redis, which may be away
    )
    worker.hostname, worker.pid = socket.gethostname(), os.getpid()
    worker.place = place
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.request_stop)
    watch = Watch(place.watch)
    HintWorker.state = WorkerState(place.worker, fingerprint, watch, place.threads)
    through_outage(lambda: _register(place, fingerprint), give_up=lambda: worker._stop_requested, pulse=watch.move)
    telemetry.report(telemetry.WORKER_STARTED, worker=place.worker, queue=place.queue, pid=os.getpid())
    worker.work()
    HintWorker.state.close()
    if worker.has_failed:
        return BROKEN_EXIT
    return SPOILT_EXIT if HintWorker.state.is_spoilt else 0


def _register(place: Place, fingerprint: str) -> None:
    now = clock.now()
    home = processes.Home(place.supervisor, place.queue, fingerprint)
    processes.register_code(fingerprint, {kind: registry.names(kind) for kind in KINDS}, now)
    if processes.register_worker(processes.Process(place.worker, os.getpid(), now), home):
        leases.retry_blocked(fingerprint, now)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(ORPHAN_EXIT)
