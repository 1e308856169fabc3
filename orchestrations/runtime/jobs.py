"""The one callable that RQ may name. Our worker runs it whatever a job names (SEC-20)."""

from __future__ import annotations

import logging

from orchestrations import telemetry
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.wake import release_token
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store.signals import burst_ended

KIND = "work"


def run_hint(kind: str, name: str) -> None:
    """Refuse to run under a worker that is not ours: it would fork, keep no cache and import names from Redis."""
    raise RuntimeError("Start workers with 'manage.py durable_worker', not with 'rqworker'.")


def take_hint(worker: WorkerState, queue: str, kind: object, name: object, burst: Burst) -> None:
    """Delete the hint's token, then run a burst: whoever found the key had committed before this claim."""
    if kind != KIND or not isinstance(name, str) or name.rpartition("/")[0] != queue:
        telemetry.report(telemetry.HINT_REFUSED, level=logging.WARNING, worker=worker.owner, queue=queue)
        return
    release_token(name)
    try:
        burst.run()
    finally:
        burst_ended.send_robust(sender=None)
