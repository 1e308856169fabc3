"""The history as a region: chunks of rows, of which the last and the one asked for are loaded."""

from __future__ import annotations

from django.urls import reverse

from orchestrations.client.status import InstanceVersion
from orchestrations.control.actors import Actor
from orchestrations.control.permissions import Permission
from orchestrations.web import histories
from orchestrations.web.fragments.kinds import Facts, Kind
from orchestrations.web.page_data import PageData
from orchestrations.web.regions import Region


class History(Kind):
    """The events of the present execution."""

    template = "orchestrations/instances/_history.html"
    permission = Permission.PAYLOADS_READ

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts | None:
        """Show all chunks, two of them with their rows."""
        version = data.version(region.instance_id)
        if version is None:
            return None
        starts = histories.chunk_starts(version.history_length)
        loaded = {starts[-1], int(region.since or starts[-1])}
        chunks = [chunk(data, region.instance_id, start, version, load=start in loaded) for start in starts]
        return {"chunks": chunks, "total": version.history_length, "instance_id": region.instance_id}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object | None:
        """Change with execution and length."""
        version = data.version(region.instance_id)
        return version and (version.execution_id, version.history_length)


def chunk(data: PageData, instance_id: str, start: int, version: InstanceVersion, *, load: bool) -> histories.Chunk:
    """Return a chunk of an instance's history, with its rows or with their place only."""
    end = min(start + histories.CHUNK, max(version.history_length, start))
    url = reverse("instance-history", args=[data.hub, instance_id]) + f"?from={start}"
    rows = _rows(data, instance_id, start) if load else None
    return histories.Chunk(start, end, url, version.execution_id[: histories.EXECUTION_DIGITS], rows)


def _rows(data: PageData, instance_id: str, start: int) -> tuple[histories.EventView, ...]:
    events = data.history(instance_id, start, histories.CHUNK).rows
    numbers = histories.unnamed(events)
    earlier = data.names(instance_id, numbers, start) if numbers and start else {}
    return histories.present(events, earlier)
