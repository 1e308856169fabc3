"""Supervisors and workers that are alive, for readiness, pages and the retry of what other code had blocked."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrations.store.models import Supervisor, Worker

FORGET_AFTER = timedelta(minutes=5)


def register_supervisor(supervisor: str, host: str, pid: int, now: datetime) -> None:
    """Store a supervisor that has just started."""
    Supervisor.objects.create(id=supervisor, host=host, pid=pid, started_at=now, seen_at=now)


def register_worker(worker: str, supervisor: str, queue: str, pid: int, fingerprint: str, now: datetime) -> bool:
    """Store a worker that has just started; True if no living worker runs the same code."""
    is_new = not Worker.objects.filter(fingerprint=fingerprint, seen_at__gte=now - FORGET_AFTER).exists()
    Worker.objects.create(
        id=worker,
        supervisor_id=supervisor,
        queue=queue,
        pid=pid,
        fingerprint=fingerprint,
        started_at=now,
        seen_at=now,
    )
    return is_new


def runs_other_code(fingerprint: str, now: datetime) -> bool:
    """Tell whether a living worker runs other code than that."""
    return Worker.objects.filter(seen_at__gte=now - FORGET_AFTER).exclude(fingerprint=fingerprint).exists()


def beat(supervisor: str, workers: list[str], now: datetime) -> None:
    """Say that the supervisor and these workers of it are alive; forget its other workers and the long dead."""
    Supervisor.objects.filter(pk=supervisor).update(seen_at=now)
    Worker.objects.filter(pk__in=workers).update(seen_at=now)
    Worker.objects.filter(supervisor_id=supervisor).exclude(pk__in=workers).delete()
    Supervisor.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()


def note_sweep(supervisor: str, now: datetime) -> None:
    """Say that the supervisor has swept."""
    Supervisor.objects.filter(pk=supervisor).update(swept_at=now, seen_at=now)


def remove_supervisor(supervisor: str) -> None:
    """Forget a supervisor that ends, with its workers."""
    Supervisor.objects.filter(pk=supervisor).delete()
