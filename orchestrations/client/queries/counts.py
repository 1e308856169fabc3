"""How many instances: by status, and newer than a page."""

from __future__ import annotations

from datetime import datetime

from orchestrations.client.queries.filters import InstanceFilter, admitted
from orchestrations.client.status import StatusCounts
from orchestrations.engine.state import Status

COUNT_LIMIT = 10_000
NEWER_LIMIT = 100


def count_instances(hub: str, where: InstanceFilter, *, limit: int = COUNT_LIMIT) -> StatusCounts:
    """Return how many instances `where` admits for each status, exactly up to `limit`, then "at least" (QRY-4)."""
    counts: dict[Status, int] = {}
    at_least = set()
    rows = admitted(hub, where).order_by()
    for status in Status:
        if where.statuses and status not in where.statuses:
            continue
        number = rows.filter(status=status)[: limit + 1].count()
        if number > limit:
            at_least.add(status)
        if number:
            counts[status] = min(number, limit)
    return StatusCounts(counts=counts, at_least=frozenset(at_least))


def count_newer(hub: str, where: InstanceFilter, created_at: datetime | None, *, limit: int = NEWER_LIMIT) -> int:
    """Return how many instances that `where` admits were created after an instant (None: ever), cut at `limit`."""
    rows = admitted(hub, where)
    if created_at is not None:
        rows = rows.filter(created_at__gt=created_at)
    return rows.order_by()[:limit].count()
