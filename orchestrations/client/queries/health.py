"""Are there workers, and does anybody sweep?"""

from __future__ import annotations

from datetime import timedelta

from orchestrations.client.status import Health
from orchestrations.store import clock
from orchestrations.store.models import Supervisor, Worker


def read_health(*, worker_timeout_seconds: float = 30.0) -> Health:
    """Return how many workers are alive and how long ago any supervisor swept."""
    now = clock.now()
    workers = Worker.objects.filter(seen_at__gte=now - timedelta(seconds=worker_timeout_seconds)).count()
    swept = Supervisor.objects.exclude(swept_at=None).order_by("-swept_at").values_list("swept_at", flat=True).first()
    age = (now - swept).total_seconds() if swept else None
    return Health(workers=workers, sweep_age_seconds=age)
