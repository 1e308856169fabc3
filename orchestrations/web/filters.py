"""Query string ↔ filter ↔ links. The address holds the filter, so back, forward and reload cannot lose it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from django.http import QueryDict

from orchestrations.client.queries import InstanceFilter
from orchestrations.engine.state import Status

TEXT_LIMIT = 200


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What the list shows. Unknown statuses and characters that no name has are dropped: a filter never fails."""

    statuses: tuple[Status, ...] = ()
    name: str = ""
    id: str = ""
    blocked: bool = False
    unknown: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def read(cls, query: str) -> ListFilter:
        """Return the filter of a query string."""
        values = QueryDict(query)
        given = values.getlist("status")
        known = tuple(status for status in Status if status.value in given)
        unknown = tuple(text[:40] for text in given if text not in {s.value for s in Status})
        return cls(known, _text(values.get("name")), _text(values.get("id")), values.get("blocked") == "1", unknown)

    @property
    def query(self) -> str:
        """The query string, in one canonical order."""
        values = QueryDict(mutable=True)
        values.setlist("status", [status.value for status in self.statuses])
        for name, value in (("name", self.name), ("id", self.id), ("blocked", "1" if self.blocked else "")):
            if value:
                values[name] = value
        return values.urlencode()

    @property
    def is_empty(self) -> bool:
        return self == ListFilter()

    def toggled(self, status: Status) -> ListFilter:
        """Return this filter with one status more, or less."""
        kept = [s for s in self.statuses if s != status]
        return replace(self, statuses=_ordered(kept if status in self.statuses else [*kept, status]))

    def for_any_status(self) -> ListFilter:
        """Return this filter without its statuses."""
        return replace(self, statuses=(), unknown=())

    def unblocked(self) -> ListFilter:
        """Return this filter for what is stuck and what is not."""
        return replace(self, blocked=False)

    @property
    def criteria(self) -> InstanceFilter:
        """The same for the read side."""
        return InstanceFilter(
            statuses=frozenset(self.statuses),
            name_prefix=self.name,
            instance_id_prefix=self.id,
            blocked=True if self.blocked else None,
        )


def link(path: str, where: ListFilter, after: str = "") -> str:
    """Return the address of a list."""
    parts = [where.query]
    if after:
        token = QueryDict(mutable=True)
        token["after"] = after
        parts.append(token.urlencode())
    query = "&".join(part for part in parts if part)
    return f"{path}?{query}" if query else path


def _ordered(statuses: Iterable[Status]) -> tuple[Status, ...]:
    wanted = set(statuses)
    return tuple(status for status in Status if status in wanted)


def _text(value: str | None) -> str:
    """Cut, and without what a database would refuse: NUL and half of a pair of surrogates."""
    text = (value or "").strip()[:TEXT_LIMIT]
    return "".join(c for c in text if c != "\x00" and not 0xD800 <= ord(c) <= 0xDFFF)
