"""The events of an instance's present execution."""

from __future__ import annotations

import json

from orchestrations.client.queries.rows import named
from orchestrations.client.status import HistoryPage, HistoryRow
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store.models import HistoryEvent, InboxMessage, Schedule


def list_history(hub: str, instance_id: str, *, start: int = 0, size: int | None = None) -> HistoryPage:
    """Return the present execution's history events from sequence `start` on, in order.

    Raises `InstanceNotFoundError`.
    """
    schedule = Schedule.objects.filter(instance__in=named(hub, instance_id)).only("execution", "position").first()
    if schedule is None:
        raise InstanceNotFoundError(instance_id)
    events = HistoryEvent.objects.filter(instance_id=schedule.pk, execution=schedule.execution, sequence__gte=start)
    values = events.order_by("sequence").values_list("sequence", "kind", "body")
    page = values[:size] if size is not None else values
    rows = tuple(HistoryRow(sequence=s, kind=k, members=json.loads(b)) for s, k, b in page)
    return HistoryPage(execution_id=schedule.execution, rows=rows, total=schedule.position)


def read_input(instance_pk: int, execution: str) -> str | None:
    """Return an execution's input: it is in the event that began it, or in the message that will."""
    events = HistoryEvent.objects.filter(instance_id=instance_pk, execution=execution, kind="ExecutionStarted")
    found = events.order_by("sequence").values_list("body", flat=True).first()
    if found is None:
        messages = InboxMessage.objects.filter(
            instance_id=instance_pk, kind="ExecutionStarted", not_before__isnull=False
        )
        found = messages.values_list("body", flat=True).first()
    text: str | None = json.loads(found).get("Input") if found else None
    return text
