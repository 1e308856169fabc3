"""Histories, as replay reads them."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrations.store import conditions, sql
from orchestrations.store.claimed import ClaimedInstance
from orchestrations.store.models import HistoryEvent

HISTORY = HistoryEvent._meta.db_table


def load(held: Sequence[ClaimedInstance]) -> dict[int, list[str]]:
    """Return instance → its present execution's history as JSON texts, in order. One statement."""
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
