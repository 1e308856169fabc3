"""The regions of the list: its rows, the counts by status, and how many are newer."""

from __future__ import annotations

from django.urls import reverse

from orchestrations.control.actors import Actor
from orchestrations.web.filters import ListFilter, link
from orchestrations.web.fragments.kinds import EVERY, Facts, Kind
from orchestrations.web.page_data import NEWER_LIMIT, PageData
from orchestrations.web.presenters import rows
from orchestrations.web.regions import Region


class Rows(Kind):
    """The rows of one page, in their places also when others are newer."""

    template = "orchestrations/instances/_rows.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts:
        """Show them as they are now."""
        where = ListFilter.read(region.query)
        return {"rows": [rows.row(region.hub, row, where) for row in data.rows(region.snapshot)]}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object:
        """Change with any of their revisions."""
        return sorted(data.revisions(region.snapshot).items())

    def watched_ids(self, data: PageData, region: Region) -> frozenset[str]:
        """Depend on these instances alone."""
        return frozenset(data.revisions(region.snapshot))


class Counts(Kind):
    """The chips of the filter, with how many instances each status has."""

    template = "orchestrations/instances/_counts.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts:
        """Show a chip for each status."""
        where = ListFilter.read(region.query)
        path = reverse("instance-list", args=[region.hub])
        chips = rows.chips(path, where, data.counts(region.query))
        everything = where.for_any_status().unblocked()
        return {"chips": chips, "all_url": link(path, everything), "is_all": where == everything}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object:
        """Change with any of the counts."""
        counts = data.counts(region.query)
        return sorted(counts.counts.items()), sorted(counts.at_least)

    def watched_ids(self, data: PageData, region: Region) -> frozenset[str]:
        """Depend on every instance of the hub."""
        return EVERY


class Newer(Kind):
    """How many instances have come since the page was shown."""

    template = "orchestrations/instances/_newer.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts:
        """Show their number, and the way to them."""
        number = data.newer(region.query, region.since)
        path = reverse("instance-list", args=[region.hub])
        where = ListFilter.read(region.query)
        return {"number": number, "is_bound": number >= NEWER_LIMIT, "url": link(path, where)}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object:
        """Change with the number."""
        return data.newer(region.query, region.since)

    def watched_ids(self, data: PageData, region: Region) -> frozenset[str]:
        """Depend on every instance of the hub."""
        return EVERY
