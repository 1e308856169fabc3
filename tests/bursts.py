"""Drive bursts in the test's own process, without a queue: real store, real engine, no Redis."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import tests.functions  # noqa: F401
from orchestrations.authoring.registry import registry
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.client.status import OrchestrationStatus
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import clock
from orchestrations.store.signals import work_available


def new_worker() -> WorkerState:
    """Return a worker with an id of its own."""
    return WorkerState(uuid.uuid4().hex, registry.fingerprint())


FAR = timedelta(seconds=5)
"""What is announced for later than this is not waited for."""


class Hints:
    """Stands for the queues: what the store announced after its commits. Nothing else starts a burst: no sweeper."""

    def __init__(self) -> None:
        self._hints: list[tuple[datetime, str]] = []
        self._lock = threading.Lock()

    def on_work_available(self, sender: Any, *, queue: str, at: datetime | None = None, **_: Any) -> None:
        with self._lock:
            self._hints.append((at or clock.now(), queue))

    def clear(self) -> None:
        with self._lock:
            self._hints.clear()

    def is_empty(self) -> bool:
        with self._lock:
            now = clock.now()
            return not any(at < now + FAR for at, _ in self._hints)

    def take(self) -> tuple[datetime, str] | None:
        """Return instant and queue of the earliest hint, coalescing those of a queue that are due already."""
        with self._lock:
            now = clock.now()
            self._hints = sorted(hint for hint in self._hints if hint[0] < now + FAR)
            if not self._hints:
                return None
            first = self._hints.pop(0)
            if first[0] <= now:
                self._hints = [(at, queue) for at, queue in self._hints if at > now or queue != first[1]]
            return first


HINTS = Hints()
work_available.connect(HINTS.on_work_available)


def drain(worker: WorkerState | None = None, *, seconds: float = 20.0, until: Callable[[], bool] | None = None) -> None:
    """Run a burst on its queue for each hint until there is none left, or until `until` holds."""
    own = None if worker else new_worker()
    try:
        _drain(worker or own or new_worker(), seconds, until)
    finally:
        if own is not None:
            own.close()


def burst_once(queue: str | None = None) -> None:
    """Run one burst of a new worker on a queue, by default the default one, hint or no hint."""
    worker = new_worker()
    Burst(worker, queue or default_queue()).run()
    worker.close()


def _drain(worker: WorkerState, seconds: float, until: Callable[[], bool] | None) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if until is not None and until():
            return
        hint = HINTS.take()
        if hint is not None:
            at, queue = hint
            time.sleep(max(0.0, (at - clock.now()).total_seconds()))
            Burst(worker, queue).run()
        elif until is None and not worker.lanes.is_busy() and HINTS.is_empty():
            return
        else:
            time.sleep(0.01)
    raise AssertionError(f"There is still work after {seconds} s.")


def run(name: str, client_input: Any = None, **options: Any) -> OrchestrationStatus:
    """Start an instance, drain, and return its status."""
    client = DurableClient()
    instance_id = client.start_new(name, client_input=client_input, **options)
    drain()
    return client.get_status(instance_id, show_input=True)


def status_of(instance_id: str) -> Status | None:
    """Return the instance's status."""
    return queries.read_status(DurableClient().hub, instance_id)


def kinds_of(instance_id: str) -> list[str]:
    """Return the kinds of the instance's history."""
    return [row.kind for row in queries.list_history(DurableClient().hub, instance_id).rows]
