"""Look instances up within a hub, lock them, and remove them. How they begin is in `births`, and in `reuse`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError, WrongStatusError
from orchestrations.store import codec, conditions, inbox, sql
from orchestrations.store.inbox import Target
from orchestrations.store.models import (
    ActivityTask,
    EventReceipt,
    HistoryPart,
    InboxMessage,
    Instance,
    Payload,
    Schedule,
)

INSTANCE, SCHEDULE = Instance._meta.db_table, Schedule._meta.db_table


def remove(instances: Sequence[int]) -> None:
    """Delete instances with all that belongs to them; they are locked, or have ended and are locked as rows.

    Their sub-orchestrations become those of their own parent, so that who ends the family finds them.
    """
    if not instances:
        return
    for key in sorted(instances, reverse=True):  # one by one, from below: a parent may be among those that go
        above = f"(SELECT p.parent_id FROM {INSTANCE} p WHERE p.id = %s)"
        sql.run(f"UPDATE {INSTANCE} SET parent_id = {above} WHERE parent_id = %s", [key, key])
    condition, values = conditions.among("instance_id", instances)
    for model in (HistoryPart, InboxMessage, EventReceipt, ActivityTask, Payload, Schedule):
        sql.run(f"DELETE FROM {model._meta.db_table} WHERE {condition}", values)
    condition, values = conditions.among("id", instances)
    sql.run(f"DELETE FROM {INSTANCE} WHERE {condition}", values)


@dataclass(frozen=True, slots=True)
class Known:
    """An instance as it is found by its id, before it is locked."""

    key: int
    status: Status
    parent: int | None
    parent_execution: str
    parent_sequence: int | None
    parent_attempt: int


def find_all(ids: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Known]:
    """Return (hub, instance id) → what is known of it, of those that exist. One statement."""
    condition, values = conditions.among_rows("hub_id, instance_id", sorted(set(ids)), ("int", "text"))
    rows = sql.fetch(
        "SELECT hub_id, instance_id, id, status, parent_id, parent_execution, parent_sequence, parent_attempt"
        f" FROM {INSTANCE} WHERE {condition}",
        values,
    )
    return {(hub, name): Known(key, Status(status), *rest) for hub, name, key, status, *rest in rows}


def lock_live(hub: str, instance_id: str, refused: str) -> Target:
    """Lock a live instance and return its target.

    Raises `InstanceNotFoundError`, or `WrongStatusError` (`instance.terminal`) saying that it takes no `refused`.
    """
    target = check_known(instance_id, inbox.lock_all_named(hub, [instance_id]))
    if not target.is_live:
        refuse_ended(instance_id, target, refused)
    return target


def check_known(instance_id: str, targets: Mapping[str, Target]) -> Target:
    """Return the target of that id. Raises `InstanceNotFoundError`."""
    target = targets.get(instance_id)
    if target is None:
        raise InstanceNotFoundError(instance_id)
    return target


def refuse_ended(instance_id: str, target: Target, refused: str) -> NoReturn:
    """Raise `WrongStatusError` (`instance.terminal`), which says that the instance takes no `refused`."""
    status, completed_at = Instance.objects.filter(pk=target.id).values_list("status", "completed_at").get()
    since = f"{completed_at:%Y-%m-%d %H:%M:%S} UTC" if completed_at else "an unknown time"
    raise WrongStatusError.terminal(instance_id, status, since, refused)


def status_of(instance: int) -> Status:
    """Return an instance's status: current if its lock is ours."""
    return Status(Instance.objects.filter(pk=instance).values_list("status", flat=True).get())


def find_status(hub: int, instance_id: str) -> Status | None:
    """Return the status of the instance with that id, None if there is none: one small read, for who asks often."""
    if not codec.is_storable(instance_id):
        return None
    found = sql.fetch(f"SELECT status FROM {INSTANCE} WHERE hub_id = %s AND instance_id = %s", [hub, instance_id])
    return Status(found[0][0]) if found else None
