"""The events of an instance's present execution."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Case, F, QuerySet, Subquery, TextField, When
from django.db.models.functions import Coalesce, Left

from orchestrations.client import decoding
from orchestrations.client.queries.rows import named
from orchestrations.client.status import HistoryPage, HistoryRow
from orchestrations.errors import InstanceNotFoundError
from orchestrations.store.models import HistoryPart, InboxMessage, Schedule

STARTED, DECISIONS = "ExecutionStarted", ("TaskScheduled", "SubOrchestrationInstanceCreated")
SEARCHED, HEAD = 4000, 600


def list_history(
    hub: str, instance_id: str, *, start: int = 0, size: int | None = None, body_limit: int | None = None
) -> HistoryPage:
    """Return the present execution's history events from position `start` on, in order: `size` positions of them.

    Of an event that is stored by itself (it is long, or its turn had no other) and has more than `body_limit`
    characters only the beginning is read: its members are those before its payload, and the beginning of that. Raises
    `InstanceNotFoundError`.
    """
    schedule = Schedule.objects.filter(instance__in=named(hub, instance_id)).only("execution", "position").first()
    if schedule is None:
        raise InstanceNotFoundError(instance_id)
    end = None if size is None else start + size
    rows = tuple(_read(_parts_between(schedule.pk, schedule.execution, start, end), body_limit, start, end))
    return HistoryPage(execution_id=schedule.execution, rows=rows, total=schedule.position)


def find_names(hub: str, instance_id: str, numbers: Collection[int], *, before: int) -> dict[int, str]:
    """Return number → name of the decisions with those numbers, in the last 4,000 positions before one.

    Of long events the beginning is read, in which the name is; a payload comes after it.
    """
    schedule = Schedule.objects.filter(instance__in=named(hub, instance_id)).only("execution").first()
    if schedule is None or not numbers or before <= 0:
        return {}
    found: dict[int, str] = {}
    start = max(0, before - SEARCHED)
    for row in _read(_parts_between(schedule.pk, schedule.execution, start, before), HEAD, start, before):
        number = row.members.get("EventId", -1)
        if row.kind in DECISIONS and number in numbers:
            found[number] = row.members.get("Name", "")
    return found


def read_input(instance_pk: int, execution: str) -> str | None:
    """Return an execution's input: it is in the event that began it, or in the message that will."""
    parts = _parts_of(instance_pk, execution).filter(body__contains=f'"EventType":"{STARTED}"')
    body = parts.values_list("body", flat=True).first()
    events: list[dict[str, Any]] = json.loads(f"[{body}]") if body else []
    if not events:
        messages = InboxMessage.objects.filter(instance_id=instance_pk, kind=STARTED, not_before__isnull=False)
        events = [json.loads(text) for text in messages.values_list("body", flat=True)[:1]]
    return next((event.get("Input") for event in events if event["EventType"] == STARTED), None)


def _parts_of(instance_pk: int, execution: str) -> QuerySet[HistoryPart]:
    return HistoryPart.objects.filter(instance_id=instance_pk, execution=execution).order_by("sequence")


def _parts_between(instance_pk: int, execution: str, start: int, end: int | None) -> QuerySet[HistoryPart]:
    """The parts that hold the positions, the first of which may begin before them."""
    parts = _parts_of(instance_pk, execution)
    if start > 0:
        first = parts.filter(sequence__lte=start).order_by("-sequence").values("sequence")[:1]
        parts = parts.filter(sequence__gte=Coalesce(Subquery(first), start))
    return parts if end is None else parts.filter(sequence__lt=end)


def _read(parts: QuerySet[HistoryPart], limit: int | None, start: int, end: int | None) -> Iterator[HistoryRow]:
    """Yield the events of the parts that are at the positions; an event alone is read up to the limit."""
    text = (
        Case(When(count=1, then=Left("body", limit + 1)), default="body", output_field=TextField())
        if limit
        else F("body")
    )
    for sequence, count, body in parts.annotate(text=text).values_list("sequence", "count", "text"):
        is_cut = limit and count == 1 and len(body) > limit
        events = [decoding.beginning(body)] if is_cut else json.loads(f"[{body}]")
        for place, members in enumerate(events, sequence):
            if place >= start and (end is None or place < end):
                yield HistoryRow(place, members["EventType"], members)
