"""What people did to an instance."""

from __future__ import annotations

from orchestrations.client.queries.hubs import key_of
from orchestrations.client.status import AuditRow
from orchestrations.store import codec
from orchestrations.store.models import AuditEntry

SIZE = 100


def list_audit(hub: str, instance_id: str, *, size: int = SIZE) -> tuple[AuditRow, ...]:
    """Return what was done to the instance, newest first."""
    if not codec.is_storable(hub + instance_id):
        return ()
    rows = AuditEntry.objects.filter(hub_id=key_of(hub), instance_id=instance_id).order_by("-id")
    values = rows.values_list("at", "actor", "action", "instance_id", "reason", "result")[:size]
    return tuple(AuditRow(*row) for row in values)
