"""The events of an instance's present execution."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

from django.db.models import QuerySet
from django.db.models.functions import Left

from orchestrations.client import decoding
from orchestrations.client.queries.rows import named
from orchestrations.client.status import HistoryPage, HistoryRow
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store.models import HistoryEvent, InboxMessage, Schedule

DECISIONS = ("TaskScheduled", "SubOrchestrationInstanceCreated")
SEARCHED, HEAD = 2000, 600
_NUMBERED = re.compile(r'\{"EventType":"\w+","EventId":(\d{1,9}),"Timestamp":"[^"]*","Name":("(?:[^"\\]|\\.)*")')


def list_history(
    hub: str, instance_id: str, *, start: int = 0, size: int | None = None, body_limit: int | None = None
) -> HistoryPage:
    """Return the present execution's history events from sequence `start` on, in order.

    Of an event with more than `body_limit` characters only the beginning is read: its members are those before its
    payload, and the beginning of that. Raises `InstanceNotFoundError`.
    """
    schedule = Schedule.objects.filter(instance__in=named(hub, instance_id)).only("execution", "position").first()
    if schedule is None:
        raise InstanceNotFoundError(instance_id)
    events = HistoryEvent.objects.filter(instance_id=schedule.pk, execution=schedule.execution, sequence__gte=start)
    events = events.order_by("sequence")[:size] if size is not None else events.order_by("sequence")
    rows = tuple(_short_rows(events, body_limit) if body_limit else _whole_rows(events))
    return HistoryPage(execution_id=schedule.execution, rows=rows, total=schedule.position)


def _whole_rows(events: QuerySet[HistoryEvent]) -> Iterator[HistoryRow]:
    for sequence, kind, body in events.values_list("sequence", "kind", "body"):
        yield HistoryRow(sequence, kind, json.loads(body))


def _short_rows(events: QuerySet[HistoryEvent], limit: int) -> Iterator[HistoryRow]:
    for sequence, kind, head in events.values_list("sequence", "kind", Left("body", limit + 1)):
        yield HistoryRow(sequence, kind, json.loads(head) if len(head) <= limit else decoding.beginning(head))


def find_names(hub: str, instance_id: str, numbers: Collection[int], *, before: int) -> dict[int, str]:
    """Return number → name of the decisions with those numbers, among the last 2,000 before a position.

    Of each event the beginning is read, in which its name is; a payload comes after it.
    """
    schedule = Schedule.objects.filter(instance__in=named(hub, instance_id)).only("execution").first()
    if schedule is None or not numbers or before <= 0:
        return {}
    events = HistoryEvent.objects.filter(instance_id=schedule.pk, execution=schedule.execution, sequence__lt=before)
    heads = events.filter(kind__in=DECISIONS).order_by("-sequence").values_list(Left("body", HEAD), flat=True)
    found = (_NUMBERED.match(head) for head in heads[:SEARCHED])
    return {int(m[1]): json.loads(m[2]) for m in found if m and int(m[1]) in numbers}


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
