"""Snapshots: which rows a page of the list showed, as a short text, so that it shows them again after a hint.

A list that was shown must keep its rows in their places, although by now others are newer and some have left the
filter. Ids would not fit into an address or a socket frame, so a snapshot holds the rows' keys as differences. It is
opaque, and whoever takes one from outside must have signed it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence

from orchestrations.client import decoding
from orchestrations.client.queries.hubs import key_of
from orchestrations.client.queries.rows import read_all, summaries
from orchestrations.client.queries.stuck import find_deferred
from orchestrations.client.status import InstanceSummary
from orchestrations.errors import InvalidError
from orchestrations.store.models import Instance

LIMIT = 200


def make_snapshot(hub: str, instance_ids: Sequence[str]) -> str:
    """Return the snapshot of these instances, at most 200. One query."""
    rows = Instance.objects.filter(hub_id=key_of(hub), instance_id__in=list(instance_ids)[:LIMIT])
    return _pack(sorted(rows.values_list("pk", flat=True), reverse=True))


def list_snapshot(hub: str, snapshot: str) -> tuple[InstanceSummary, ...]:
    """Return its instances that still exist, newest first. `InvalidError` for a damaged snapshot."""
    rows = summaries(Instance.objects.filter(hub_id=key_of(hub), pk__in=_unpack(snapshot)))
    return tuple(decoding.summary(*row) for row in read_all(rows.order_by("-created_at", "-id")))


def list_snapshot_revisions(hub: str, snapshot: str) -> dict[str, tuple[int, bool]]:
    """Return instance id → revision, and whether it is stuck on an activity, of those that still exist, for tags."""
    rows = Instance.objects.filter(hub_id=key_of(hub), pk__in=_unpack(snapshot)).order_by("-id")
    values = list(rows.values_list("pk", "instance_id", "schedule__revision"))
    deferred = find_deferred(pk for pk, _, _ in values)
    return {instance_id: (revision, pk in deferred) for pk, instance_id, revision in values}


def _pack(keys: Iterable[int]) -> str:
    """Write descending numbers: the first, then each distance, in groups of seven bits."""
    out, last = bytearray(), 0
    for key in keys:
        distance = last - key if last else key
        last = key
        while distance > 0x7F:
            out.append(distance & 0x7F | 0x80)
            distance >>= 7
        out.append(distance)
    return urlsafe_b64encode(bytes(out)).decode().rstrip("=")


def _unpack(snapshot: str) -> list[int]:
    try:
        data = urlsafe_b64decode(snapshot + "=" * (-len(snapshot) % 4))
    except ValueError:
        raise InvalidError("The page's snapshot is damaged. Reload the page.", code="cursor.invalid") from None
    keys: list[int] = []
    last = number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            last = last - number if keys else number
            keys.append(last)
            number, shift = 0, 0
    return keys[:LIMIT]
