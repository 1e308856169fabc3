"""Task hubs."""

from __future__ import annotations

from orchestrations.conf import conf
from orchestrations.store import codec
from orchestrations.store.models import TaskHub


def list_hubs() -> tuple[str, ...]:
    """Return the names of the task hubs."""
    return tuple(TaskHub.objects.order_by("name").values_list("name", flat=True))


def has_hub(name: str) -> bool:
    """Tell whether there is such a hub: the one that the settings name exists before anything was started in it."""
    return name == conf.HUB or (codec.is_storable(name) and TaskHub.objects.filter(name=name).exists())
