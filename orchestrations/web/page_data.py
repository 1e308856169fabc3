"""What one answer reads, each thing once, however many fragments of a page show it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from orchestrations.client import pins, queries
from orchestrations.client.status import (
    AuditRow,
    ChildSummary,
    HistoryPage,
    InstanceDetail,
    InstancePage,
    InstanceSummary,
    StatusCounts,
)
from orchestrations.web.filters import ListFilter

PAGE_SIZE = 50
NEWER_LIMIT = 100
AUDIT_SIZE = 20

T = TypeVar("T")


class Source:
    """The read side for one request in one task hub."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self._known: dict[Any, Any] = {}

    def page(self, where: ListFilter, token: str) -> InstancePage:
        return queries.list_instances(self.hub, where.criteria, token=token, size=PAGE_SIZE)

    def pin(self, page: InstancePage) -> str:
        """Return the pin of a page, whose rows need not be read again."""
        pin = pins.pin_rows(self.hub, [r.instance_id for r in page.rows])
        self._known["rows", pin] = page.rows
        return pin

    def rows(self, pin: str) -> tuple[InstanceSummary, ...]:
        return self._once(("rows", pin), lambda: pins.list_pinned(self.hub, pin))

    def revisions(self, pin: str) -> dict[str, int]:
        """Return id → revision of the pinned rows, from the rows themselves if they have been read."""
        if ("rows", pin) in self._known:
            return {row.instance_id: row.revision for row in self.rows(pin)}
        return self._once(("revisions", pin), lambda: pins.list_pinned_revisions(self.hub, pin))

    def counts(self, query: str) -> StatusCounts:
        where = ListFilter.read(query).without_statuses()
        return self._once(("counts", where), lambda: queries.count_instances(self.hub, where.criteria))

    def newer(self, query: str, since: str) -> int:
        at = datetime.fromisoformat(since) if since else None
        criteria = ListFilter.read(query).criteria
        return self._once(
            ("newer", query, since), lambda: queries.count_newer(self.hub, criteria, at, limit=NEWER_LIMIT)
        )

    def instance(self, instance_id: str) -> InstanceDetail | None:
        return self._once(("instance", instance_id), lambda: queries.find_instance(self.hub, instance_id))

    def marks(self, instance_id: str) -> queries.Marks | None:
        """Return an instance's marks, from the instance itself if it has been read."""
        if ("instance", instance_id) not in self._known:
            return self._once(("marks", instance_id), lambda: queries.find_marks(self.hub, instance_id))
        found = self.instance(instance_id)
        return queries.Marks(found.execution_id, found.history_length, found.revision, found.status) if found else None

    def history(self, instance_id: str, start: int, size: int) -> HistoryPage:
        key = ("history", instance_id, start, size)
        return self._once(key, lambda: queries.list_history(self.hub, instance_id, start=start, size=size))

    def children(self, instance_id: str) -> tuple[ChildSummary, ...]:
        return self._once(("children", instance_id), lambda: queries.list_children(self.hub, instance_id))

    def audit(self, instance_id: str) -> tuple[AuditRow, ...]:
        return self._once(("audit", instance_id), lambda: queries.list_audit(self.hub, instance_id, size=AUDIT_SIZE))

    def _once(self, key: Any, read: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = read()
        found: T = self._known[key]
        return found
