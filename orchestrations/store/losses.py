"""What supervisors know of workers that were lost, kept by the piece of work that each had in hand.

Written when a worker is lost and read when work is given up, so that `WorkerLost` and the mark `lost-turns` say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from orchestrations.store.models import WorkerLoss

KEEP = timedelta(days=7)


def key_of_turn(instance: int) -> str:
    """Return the name under which a loss during a turn of this instance is kept."""
    return f"turn/{instance}"


def key_of_activity(activity: int) -> str:
    """Return the name under which a loss of this attempt's worker is kept."""
    return f"activity/{activity}"


def record(works: Iterable[str], worker: str, detail: str, now: datetime) -> None:
    """Store what is known of the worker that was lost with these; a later loss replaces it. Durable when it returns."""
    rows = [WorkerLoss(work=work, worker=worker, detail=detail, lost_at=now) for work in sorted(set(works))]
    WorkerLoss.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["work"], update_fields=["worker", "detail", "lost_at"]
    )


def last_of(work: str) -> str:
    """Return what is known of the last loss with this work, as a sentence to add to another, or an empty text."""
    found = WorkerLoss.objects.filter(pk=work).values_list("detail", flat=True).first()
    return f" The last one: {found}" if found else ""


def prune(now: datetime) -> None:
    """Forget losses of more than a week ago."""
    WorkerLoss.objects.filter(lost_at__lt=now - KEEP).delete()
