"""Task hubs."""

from __future__ import annotations

from orchestrations.conf import conf
from orchestrations.store import codec, hubs
from orchestrations.store.models import TaskHub


def list_hubs() -> tuple[str, ...]:
    """Return the names of the task hubs."""
    return tuple(TaskHub.objects.order_by("name").values_list("name", flat=True))


def has_hub(name: str) -> bool:
    """Tell whether there is such a hub: the one that the settings name exists before anything was started in it."""
    return name == conf.HUB or (codec.is_storable(name) and TaskHub.objects.filter(name=name).exists())


def key_of(name: str) -> int | None:
    """Return the hub's key, or None if there is no such hub; a process asks once.

    Rows are looked for by key and not by a join with the hub's name: only a constant lets the database walk an index of
    the newest instances and stop after a page.
    """
    return hubs.find_key(name)
