"""Histories: how the events of a turn become rows, and how replay reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrations.store import conditions, sql
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.models import HistoryPart

HISTORY = HistoryPart._meta.db_table
PARTS = sql.Columns(HistoryPart, instance_id="int", execution="text", sequence="int", count="int", body="text")
PART_CHARACTERS = 4096
"""How long a part is at most, unless it is one event: a page of a history reads little, wherever it begins."""


def rows_of(instance: int, execution: str, start: int, texts: Sequence[str]) -> list[sql.Row]:
    """Return the rows that hold events, given as JSON texts, from position `start` on."""
    return [
        {"instance_id": instance, "execution": execution, "sequence": place, "count": len(part), "body": ",".join(part)}
        for place, part in _split(start, texts)
    ]


def load(held: Sequence[ClaimedInstance]) -> dict[int, list[str]]:
    """Return instance → its present execution's history, in order, as texts of events with commas between them. One
    statement."""
    found: dict[int, list[str]] = {one.row.instance_id: [] for one in held}
    if not held:
        return found
    keys = [(one.row.instance_id, one.row.execution) for one in held]
    condition, values = conditions.among_rows("instance_id, execution", keys, ("int", "text"))
    rows = sql.fetch(
        f"SELECT instance_id, body FROM {HISTORY} WHERE {condition} ORDER BY instance_id, sequence", values
    )
    for instance, body in rows:
        found[instance].append(body)
    return found


def _split(start: int, texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    first, size = 0, 0
    for place, text in enumerate(texts):
        size += len(text) + 1
        if place > first and size > PART_CHARACTERS:
            yield start + first, texts[first:place]
            first, size = place, len(text) + 1
    if texts:
        yield start + first, texts[first:]
