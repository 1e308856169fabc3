"""Who did what to which instance. Rows are written once; an operation's row commits with the operation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrations.control.actors import Actor
from orchestrations.engine.failures import cut
from orchestrations.store import clock, hubs
from orchestrations.store.models import AuditEntry

DONE, DENIED, REFUSED = "done", "denied", "refused"
REASON_LIMIT = 4096
LOOK_BACK = 50


@dataclass(frozen=True, slots=True)
class PastAction:
    """What an earlier row says, with its details decoded."""

    at: datetime
    actor: str
    action: str
    reason: str
    detail: dict[str, Any]


def record(
    hub: str,
    actor: Actor,
    action: str,
    *,
    instance_id: str = "",
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
    result: str = DONE,
) -> None:
    """Insert a row into the caller's transaction, or into one of its own.

    `result` is `done`, `denied` for want of a permission, or `refused` for any other reason. Raises `HubNotFoundError`.
    """
    record_all(hub, actor, action, {instance_id: detail or {}}, reason=reason, result=result)


def record_all(
    hub: str,
    actor: Actor,
    action: str,
    details: Mapping[str, Mapping[str, Any]],
    *,
    reason: str = "",
    result: str = DONE,
) -> None:
    """Insert a row for each instance with its detail, as `record` does: those of what was done to many at once."""
    facts = {
        "hub_id": hubs.find(hub),
        "at": clock.now(),
        "user_id": actor.user_id,
        "actor": _text(actor.name, 256),
        "action": action,
        "reason": _text(reason, REASON_LIMIT),
        "result": result,
    }
    AuditEntry.objects.bulk_create(
        AuditEntry(instance_id=_text(one, 256), detail=json.dumps(dict(detail), sort_keys=True), **facts)
        for one, detail in details.items()
    )


def list_past_actions(hub: str, instance_id: str) -> list[PastAction]:
    """Return what was last done to an instance, newest first."""
    rows = AuditEntry.objects.filter(hub__name=hub, instance_id=instance_id, result=DONE).order_by("-id")
    values = rows.values_list("at", "actor", "action", "reason", "detail")[:LOOK_BACK]
    return [PastAction(at, actor, action, reason, json.loads(detail)) for at, actor, action, reason, detail in values]


def _text(text: str, limit: int) -> str:
    """Cut, and with a mark for what no column can hold: what was refused may well be refused for that."""
    return cut(text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode(), limit)
