"""Supervisors and workers that are alive, for readiness, pages and the retry of what other code had blocked.

Every beat writes the whole row, so a row that is gone (an outage, a machine that slept, another supervisor's pruning)
comes back by itself. Only what is long dead is removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from orchestrations.store.models import Supervisor, Worker, WorkerCode

ALIVE_WITHIN = timedelta(minutes=5)
"""Who was seen within this time counts as running its code still."""

SERVES_WITHIN = timedelta(seconds=30)
"""Who was seen within this time counts as taking work."""

PRUNE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is alive, as its row says it."""

    id: str
    pid: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Home:
    """Where workers belong: their supervisor, the queue that they listen to, and the code that they run."""

    supervisor: str
    queue: str
    fingerprint: str


def register_worker(worker: Process, home: Home) -> bool:
    """Store a worker that has just started; True if no living worker runs the same code. Durable when it returns."""
    since = worker.started_at - ALIVE_WITHIN
    with transaction.atomic():
        others = Worker.objects.filter(fingerprint=home.fingerprint, seen_at__gte=since).exclude(pk=worker.id)
        is_new = not others.exists()
        _store_workers([worker], home, worker.started_at)
    return is_new


def register_code(fingerprint: str, functions: Mapping[str, Sequence[str]], now: datetime) -> None:
    """Store what workers with that code can run: kind → names. Durable when it returns."""
    row = WorkerCode(fingerprint=fingerprint, functions=json.dumps(functions), seen_at=now)
    WorkerCode.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["fingerprint"], update_fields=["functions", "seen_at"]
    )


def functions_served(queue: str, now: datetime) -> dict[str, set[str]]:
    """Return kind → names of all that the living workers of a queue can run."""
    living = Worker.objects.filter(queue=queue, seen_at__gte=now - SERVES_WITHIN).values("fingerprint")
    found: dict[str, set[str]] = {}
    for text in WorkerCode.objects.filter(fingerprint__in=living).values_list("functions", flat=True):
        for kind, names in json.loads(text).items():
            found.setdefault(kind, set()).update(names)
    return found


def count_workers(queue: str, now: datetime) -> int:
    """Return how many workers listen to the queue, as far as they were seen lately."""
    return Worker.objects.filter(queue=queue, seen_at__gte=now - ALIVE_WITHIN).count()


def runs_other_code(fingerprint: str, now: datetime) -> bool:
    """Tell whether a living worker runs other code than that."""
    return Worker.objects.filter(seen_at__gte=now - ALIVE_WITHIN).exclude(fingerprint=fingerprint).exists()


def beat(
    host: str, supervisor: Process, workers: Sequence[Process], starting: Sequence[str], home: Home, now: datetime
) -> None:
    """Say that the supervisor and these workers are alive; forget its others, but those that are starting.

    Those register themselves, for only they know whether their code is new. Durable when it returns.
    """
    row = Supervisor(id=supervisor.id, host=host, pid=supervisor.pid, started_at=supervisor.started_at, seen_at=now)
    with transaction.atomic():
        Supervisor.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["id"], update_fields=["host", "pid", "seen_at"]
        )
        _store_workers(workers, home, now)
        gone = Worker.objects.filter(supervisor_id=supervisor.id, seen_at__lt=now)
        gone.exclude(pk__in=[*starting, *(worker.id for worker in workers)]).delete()


def note_sweep(supervisor: str, now: datetime) -> None:
    """Say that the supervisor has swept."""
    Supervisor.objects.filter(pk=supervisor).update(swept_at=now, seen_at=now)


def remove_supervisor(supervisor: str) -> None:
    """Forget a supervisor that ends, with its workers."""
    Worker.objects.filter(supervisor_id=supervisor).delete()
    Supervisor.objects.filter(pk=supervisor).delete()


def prune(now: datetime) -> None:
    """Forget processes that nobody has seen for a day: their supervisor was killed and never came back."""
    Worker.objects.filter(seen_at__lt=now - PRUNE_AFTER).delete()
    Supervisor.objects.filter(seen_at__lt=now - PRUNE_AFTER).delete()
    running = Worker.objects.values("fingerprint")
    WorkerCode.objects.filter(seen_at__lt=now - PRUNE_AFTER).exclude(fingerprint__in=running).delete()


def _store_workers(workers: Sequence[Process], home: Home, now: datetime) -> None:
    rows = [
        Worker(
            id=worker.id,
            supervisor_id=home.supervisor,
            queue=home.queue,
            pid=worker.pid,
            fingerprint=home.fingerprint,
            started_at=worker.started_at,
            seen_at=now,
        )
        for worker in workers
    ]
    if rows:
        Worker.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["id"], update_fields=["supervisor_id", "pid", "seen_at"]
        )
