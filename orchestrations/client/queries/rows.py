"""Which rows of the tables, and which of their columns, the queries beside this module read."""

from __future__ import annotations

from django.db.models import QuerySet
from django.db.models.functions import Left

from orchestrations.client.queries.hubs import key_of
from orchestrations.client.queries.stuck import find_deferred
from orchestrations.client.status import Blocked
from orchestrations.store import codec
from orchestrations.store.models import Instance

FAILURE_HEAD = 700
JOINED = ("schedule", "payload", "parent")
SUMMARY_COLUMNS = (
    *("instance_id", "name", "version", "status", "status_reason", "tags"),
    *("created_at", "started_at", "completed_at", "parent__instance_id"),
    *(f"schedule__{name}" for name in ("revision", "updated_at", "waiting", "blocked", "blocked_detail")),
    "payload__custom_status",
)
FACTS_COLUMNS = (*SUMMARY_COLUMNS, "schedule__execution", "schedule__position")
DETAIL_COLUMNS = (*FACTS_COLUMNS, "payload__output", "payload__failure")


def named(hub: str, instance_id: str) -> QuerySet[Instance]:
    """Return the rows with that id: one or none. PostgreSQL refuses to be asked for what it cannot hold."""
    if not codec.is_storable(hub + instance_id):
        return Instance.objects.none()
    return Instance.objects.filter(hub_id=key_of(hub), instance_id=instance_id)


def summaries(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read what a list shows: no payload but the custom status and why it failed, and of the parent the id."""
    return _joined(rows).only(*SUMMARY_COLUMNS)


def facts(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read what a page says of an instance besides its payloads."""
    return _joined(rows).only(*FACTS_COLUMNS)


def details(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read output and failure as well."""
    return _joined(rows).only(*DETAIL_COLUMNS)


def _joined(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """A failure begins with its type and message; its stack trace may be long."""
    return rows.select_related(*JOINED).annotate(failure_head=Left("payload__failure", FAILURE_HEAD))


def read_all(rows: QuerySet[Instance]) -> list[tuple[Instance, Blocked | None]]:
    """Return the rows, each with the activity that it is stuck on, if there is one. Two reads."""
    found = list(rows)
    deferred = find_deferred(row.pk for row in found) if found else {}
    return [(row, deferred.get(row.pk)) for row in found]


def read_one(rows: QuerySet[Instance]) -> tuple[Instance, Blocked | None] | None:
    """Return the one row, as `read_all` does, or None."""
    return next(iter(read_all(rows[:1])), None)
