"""What one answer reads, each thing once, however many fragments of a page show it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from orchestrations.client import queries
from orchestrations.client.status import (
    AuditRow,
    ChildSummary,
    HistoryPage,
    InstanceDetail,
    InstanceFacts,
    InstancePage,
    InstanceSummary,
    InstanceVersion,
    StatusCounts,
)
from orchestrations.web.filters import ListFilter

PAGE_SIZE = 50
NEWER_LIMIT = 100
AUDIT_SIZE = 20
EVENT_CHARACTERS = 4096

T = TypeVar("T")


class PageData:
    """The read side for one request in one task hub."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self._known: dict[Any, Any] = {}

    def page(self, where: ListFilter, token: str) -> InstancePage:
        """Read a page of the list."""
        return queries.list_instances(self.hub, where.criteria, token=token, size=PAGE_SIZE)

    def snapshot(self, page: InstancePage) -> str:
        """Return the snapshot of a page, whose rows need not be read again."""
        snapshot = queries.make_snapshot(self.hub, [r.instance_id for r in page.rows])
        self._known["rows", snapshot] = page.rows
        return snapshot

    def rows(self, snapshot: str) -> tuple[InstanceSummary, ...]:
        """Return the instances of a snapshot as they are now."""
        return self._once(("rows", snapshot), lambda: queries.list_snapshot(self.hub, snapshot))

    def revisions(self, snapshot: str) -> dict[str, tuple[int, bool]]:
        """Return what changes with each of a snapshot's instances, from the rows themselves if they have been read."""
        if ("rows", snapshot) in self._known:
            return {row.instance_id: (row.revision, row.is_deferred) for row in self.rows(snapshot)}
        return self._once(("revisions", snapshot), lambda: queries.list_snapshot_revisions(self.hub, snapshot))

    def counts(self, query: str) -> StatusCounts:
        """Count by status what the filter admits apart from its statuses."""
        where = ListFilter.read(query).for_any_status()
        return self._once(("counts", where), lambda: queries.count_instances(self.hub, where.criteria))

    def newer(self, query: str, since: str) -> int:
        """Count what the filter admits and is newer than a page."""
        at = datetime.fromisoformat(since) if since else None
        criteria = ListFilter.read(query).criteria
        return self._once(
            ("newer", query, since), lambda: queries.count_newer(self.hub, criteria, at, limit=NEWER_LIMIT)
        )

    def instance(self, instance_id: str) -> InstanceFacts | None:
        """Return an instance without its payloads."""
        return self._once(("instance", instance_id), lambda: queries.find_facts(self.hub, instance_id))

    def detail(self, instance_id: str) -> InstanceDetail | None:
        """Return an instance with its payloads."""
        return self._once(("detail", instance_id), lambda: queries.find_instance(self.hub, instance_id))

    def version(self, instance_id: str) -> InstanceVersion | None:
        """Return an instance's version, from the instance itself if it has been read."""
        if ("instance", instance_id) not in self._known:
            return self._once(("version", instance_id), lambda: queries.find_version(self.hub, instance_id))
        found = self.instance(instance_id)
        return (
            InstanceVersion(found.execution_id, found.history_length, found.revision, found.status) if found else None
        )

    def history(self, instance_id: str, start: int, size: int) -> HistoryPage:
        """Return some of an instance's events, of long ones the beginning."""
        key, limit = ("history", instance_id, start, size), EVENT_CHARACTERS
        read = partial(queries.list_history, self.hub, instance_id, start=start, size=size, body_limit=limit)
        return self._once(key, read)

    def event(self, instance_id: str, sequence: int) -> HistoryPage:
        """Return one of an instance's events as a whole."""
        return queries.list_history(self.hub, instance_id, start=sequence, size=1)

    def names(self, instance_id: str, numbers: frozenset[int], before: int) -> dict[int, str]:
        """Return the names of decisions that lie before a chunk of the history."""
        key = ("names", instance_id, numbers, before)
        return self._once(key, lambda: queries.find_names(self.hub, instance_id, numbers, before=before))

    def children(self, instance_id: str) -> tuple[ChildSummary, ...]:
        """Return an instance's children."""
        return self._once(("children", instance_id), lambda: queries.list_children(self.hub, instance_id))

    def audit(self, instance_id: str) -> tuple[AuditRow, ...]:
        """Return what was last done to an instance."""
        return self._once(("audit", instance_id), lambda: queries.list_audit(self.hub, instance_id, size=AUDIT_SIZE))

    def _once(self, key: Any, read: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = read()
        found: T = self._known[key]
        return found
