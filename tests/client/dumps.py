"""The whole content of the tables, to show that what was refused has changed nothing."""

from __future__ import annotations

from typing import Any

from orchestrations.store.models import (
    ActivityTask,
    AuditEntry,
    EventReceipt,
    HistoryPart,
    InboxMessage,
    Instance,
    Payload,
    Schedule,
    TaskHub,
)

TABLES = (TaskHub, Instance, Schedule, Payload, HistoryPart, InboxMessage, EventReceipt, ActivityTask, AuditEntry)


def dump_tables() -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table that holds people's work."""
    found: dict[str, list[dict[str, Any]]] = {}
    for model in TABLES:
        rows: Any = model._default_manager.values()
        found[model.__name__] = sorted(rows, key=lambda row: sorted(map(str, row.items())))
    return found
