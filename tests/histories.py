"""Histories in the tables, for tests that look at what is stored or put something odd there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from orchestrations.engine import encoding
from orchestrations.engine.events import HistoryEvent
from orchestrations.store import histories, sql
from orchestrations.store.models import HistoryPart


def parts_of(instance_id: str) -> QuerySet[HistoryPart]:
    """Return the rows of an instance's history, in order."""
    return HistoryPart.objects.filter(instance__instance_id=instance_id).order_by("execution", "sequence")


def events_of(parts: QuerySet[HistoryPart]) -> list[HistoryEvent]:
    """Return what the rows hold."""
    return [event for body in parts.values_list("body", flat=True) for event in encoding.decode_all(body)]


def positions_of(parts: QuerySet[HistoryPart]) -> list[int]:
    """Return the position of each event that the rows hold."""
    return [place for first, count in parts.values_list("sequence", "count") for place in range(first, first + count)]


def count_events(*kinds: str) -> int:
    """Return how many events of these kinds all histories hold together."""
    return sum(event.kind in kinds for event in events_of(HistoryPart.objects.all()))


def append(instance: int, execution: str, start: int, events: Sequence[Mapping[str, Any]]) -> None:
    """Store events, given by their members, at the end of a history; the instance's own row stays as it is."""
    texts = [json.dumps(members, separators=(",", ":"), ensure_ascii=False) for members in events]
    sql.insert(histories.PARTS, histories.rows_of(instance, execution, start, texts))


def replace_event(parts: QuerySet[HistoryPart], kind: str, **members: Any) -> int:
    """Give the first event of that kind other members, and store it by itself as such are; return its position."""
    for row in parts:
        found = json.loads(f"[{row.body}]")
        for place, old in enumerate(found):
            if old["EventType"] == kind:
                found[place] = old | members
                at = row.sequence
                parts.filter(sequence=at).delete()
                append(row.instance_id, row.execution, at, found)
                return at + place
    raise AssertionError(f"There is no {kind}.")
