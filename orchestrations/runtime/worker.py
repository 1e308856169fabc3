"""The RQ worker: it runs hints in its own process, without fork, and does none of RQ's bookkeeping for jobs."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.db import Error, connection
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import SimpleWorker

from orchestrations import telemetry
from orchestrations.authoring.registry import registry
from orchestrations.faults import crashpoint
from orchestrations.runtime import queues
from orchestrations.runtime.bursts import Burst, WorkerState
from orchestrations.runtime.jobs import take_hint
from orchestrations.runtime.watch import Watch
from orchestrations.store import clock, leases, processes

PR_SET_PDEATHSIG = 1
SPOILT_EXIT = 3


class HintWorker(SimpleWorker):
    """Listens to one queue and runs a burst for each hint."""

    job_class = queues.HintJob
    state: WorkerState

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run the hint. RQ's results, retries, timeouts and registries are not used."""
        crashpoint("popped")
        try:
            args = list(job.args or ()) if job.func_name == queues.CALLABLE else []
        except Exception:
            args = []
        queues.forget(job, queue)
        kind, name = args if len(args) == 2 else (None, None)
        burst = Burst(self.state, queue.name, should_stop=lambda: bool(self._stop_requested))
        try:
            take_hint(self.state, queue.name, kind, name, burst)
        except Error as error:  # the database is away
            telemetry.report("burst.failed", level=logging.ERROR, error=error)
            connection.close()
            time.sleep(0.5)
            self._stop_requested = True  # what the burst held must run out, and is renewed for as long as we live
        if self.state.runner.is_spoilt:
            self._stop_requested = True

    def run_maintenance_tasks(self) -> None:
        """RQ's registries are not used, so there is nothing to clean."""
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def request_stop(self, signum: int, frame: Any) -> None:
        """End after the present turn; a second signal ends at once, which is as safe."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def run_worker(worker_id: str, supervisor: str, queue: str, watch_file: Path) -> int:
    """Run a worker process until it is told to stop; return its exit code."""
    _die_with_parent()
    fingerprint = registry.fingerprint()
    started_at = clock.now()
    if processes.register_worker(worker_id, supervisor, queue, os.getpid(), fingerprint, started_at):
        leases.retry_blocked(fingerprint, started_at)
    HintWorker.state = WorkerState(worker_id, fingerprint, Watch(watch_file))
    HintWorker.log_job_description = False
    worker = HintWorker(
        [queues.queue_of(queue)], name=worker_id, connection=queues.connection(), serializer=JSONSerializer
    )
    telemetry.report(telemetry.WORKER_STARTED, worker=worker_id, queue=queue, pid=os.getpid())
    worker.work(logging_level="WARNING", with_scheduler=False)
    HintWorker.state.close()
    return SPOILT_EXIT if HintWorker.state.runner.is_spoilt else 0


def _die_with_parent() -> None:
    """A worker whose supervisor is gone has nobody who watches its deadlines."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
