"""Which rows of the tables, and which of their columns, the queries beside this module read."""

from __future__ import annotations

from django.db.models import QuerySet

from orchestrations.store import codec
from orchestrations.store.models import Instance

SUMMARY_COLUMNS = (
    "instance_id",
    "name",
    "version",
    "status",
    "revision",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
    "custom_status",
    "blocked",
    "blocked_detail",
    "waiting",
    "tags",
    "status_reason",
    "parent__instance_id",
)
FACTS_COLUMNS = (*SUMMARY_COLUMNS, "execution", "next_sequence")
PAYLOAD_COLUMNS = ("input", "output", "failure")


def named(hub: str, instance_id: str) -> QuerySet[Instance]:
    """Return the rows with that id: one or none. PostgreSQL refuses to be asked for what it cannot hold."""
    if not codec.is_storable(hub + instance_id):
        return Instance.objects.none()
    return Instance.objects.filter(hub__name=hub, instance_id=instance_id)


def summaries(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read what a list shows: no payload, neither the row's own nor its parent's."""
    return rows.select_related("parent").only(*SUMMARY_COLUMNS)


def facts(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read what a page says of an instance besides its payloads."""
    return rows.select_related("parent").only(*FACTS_COLUMNS)


def details(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """Read the payloads as well."""
    return rows.select_related("parent").only(*FACTS_COLUMNS, *PAYLOAD_COLUMNS)
