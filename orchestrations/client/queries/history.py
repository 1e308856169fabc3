"""The events of an instance's present execution."""

from __future__ import annotations

import json

from orchestrations.client.queries.rows import named
from orchestrations.client.status import HistoryPage, HistoryRow
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store.models import HistoryEvent


def list_history(hub: str, instance_id: str, *, start: int = 0, size: int | None = None) -> HistoryPage:
    """Return the present execution's history events from sequence `start` on, in order.

    Raises `InstanceNotFoundError`.
    """
    row = named(hub, instance_id).only("execution", "next_sequence").first()
    if row is None:
        raise InstanceNotFoundError(instance_id)
    events = HistoryEvent.objects.filter(instance_id=row.pk, execution=row.execution, sequence__gte=start)
    values = events.order_by("sequence").values_list("sequence", "kind", "body")
    page = values[:size] if size is not None else values
    rows = tuple(HistoryRow(sequence=s, kind=k, members=json.loads(b)) for s, k, b in page)
    return HistoryPage(execution_id=row.execution, rows=rows, total=row.next_sequence)
