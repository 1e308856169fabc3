"""Create instances under a reuse policy, and look them up within a hub."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from orchestrations.engine import payloads
from orchestrations.engine.events import ExecutionStarted, ExecutionTerminated, ParentInstance
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceExistsError, InstanceNotFoundError, InvalidError, WrongStatusError
from orchestrations.store import codec, inbox, sql
from orchestrations.store.models import EventReceipt, Instance, TaskHub
from orchestrations.store.signals import announce_change, announce_work

REPLACE_TERMINAL, ERROR, RETURN_EXISTING, REPLACE_ANY = "replace_terminal", "error", "return_existing", "replace_any"

_INSTANCES = sql.Columns(
    Instance,
    hub_id="int",
    instance_id="text",
    name="text",
    version="text",
    status="text",
    tags="text",
    priority="int",
    queue="text",
    execution="text",
    next_sequence="int",
    revision="int",
    due_at="time",
    lease_owner="text",
    lease_epoch="int",
    lost_turns="int",
    input="text",
    waiting="text",
    status_reason="text",
    blocked="text",
    blocked_detail="text",
    parent_id="int",
    parent_execution="text",
    parent_sequence="int",
    parent_attempt="int",
    depth="int",
    created_at="time",
    updated_at="time",
)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to create. `parent_pk` and `parent`: whose sub-orchestration it is."""

    hub_id: int
    instance_id: str
    name: str
    queue: str
    created_at: datetime
    execution: str = field(default_factory=lambda: uuid.uuid4().hex)
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    start_at: datetime | None = None
    parent_pk: int | None = None
    parent: ParentInstance | None = None
    depth: int = 0

    def started(self) -> ExecutionStarted:
        """Return the event that begins its first execution."""
        return ExecutionStarted(
            timestamp=self.created_at,
            name=self.name,
            instance_id=self.instance_id,
            execution_id=self.execution,
            version=self.version,
            input=self.input,
            parent=self.parent,
            tags=dict(self.tags) or None,
            scheduled_start_time=self.start_at,
        )

    @property
    def due_at(self) -> datetime:
        """The instant of its first turn."""
        return max(self.start_at or self.created_at, self.created_at)


def create(new: NewInstance, policy: str) -> str:
    """Store the instance and the message that starts it, unless its id is taken (INS-5); return the id.

    Durable when the caller's transaction commits; however many callers race, one row comes of it. Raises
    `InstanceExistsError` where `policy` does not replace the instance that has the id.
    """
    assert connection.in_atomic_block, "create() must be called in a transaction"
    while not (created := insert_all([new])):
        existing = _lock_existing(new)
        if existing is None:
            continue
        status = Status(existing.status)
        if not status.is_terminal and policy == RETURN_EXISTING:
            return new.instance_id
        if policy == ERROR or (not status.is_terminal and policy != REPLACE_ANY):
            raise InstanceExistsError(new.instance_id, status)
        replace(existing, recursive=policy == REPLACE_ANY)
    start_all([(created[new.instance_id], new)])
    announce_work(new.queue, new.due_at)
    return new.instance_id


def insert_all(news: Sequence[NewInstance]) -> dict[str, int]:
    """Insert the rows, leaving out ids that are taken; return instance id → key of those inserted."""
    rows = [
        (
            *(n.hub_id, n.instance_id, n.name, n.version, Status.PENDING.value, _tags(n.tags), n.priority, n.queue),
            *(n.execution, 0, 1, n.due_at, "", 0, 0, n.input, "[]", "", "", "", n.parent_pk),
            *(n.parent.execution_id if n.parent else "", n.parent.task_schedule_id if n.parent else None),
            *(n.parent.attempt if n.parent else 1, n.depth, n.created_at, n.created_at),
        )
        for n in news
    ]
    found = sql.insert(_INSTANCES, rows, suffix="ON CONFLICT DO NOTHING", returning="instance_id, id")
    return dict(found)


def start_all(created: Sequence[tuple[int, NewInstance]]) -> None:
    """Insert the messages that start new instances, and tell the pages."""
    inbox.insert_messages(start_messages(created))
    for _, new in created:
        announce_change(hub_of(new.hub_id), new.instance_id, 1)


def start_messages(created: Sequence[tuple[int, NewInstance]]) -> list[inbox.Message]:
    """Return the messages that start new instances."""
    return [inbox.Message(pk, n.started(), n.due_at, f"start/{n.execution}", n.execution) for pk, n in created]


def replace(existing: Instance, *, recursive: bool) -> None:
    """Drop an instance whose row is locked, with all that belongs to it; its live children are terminated."""
    if recursive:
        now = existing.updated_at
        reason = payloads.dump("Its parent was replaced.")
        children = Instance.objects.filter(parent=existing, status__in=["Pending", "Running", "Suspended"])
        for child in children.order_by("id").values_list("pk", flat=True):
            event = ExecutionTerminated(timestamp=now, input=reason)
            inbox.deliver(child, event, visible_at=now, dedup_key=f"terminate/{uuid.uuid4().hex}")
    existing.delete()


def lock_live(hub: str, instance_id: str, refused: str) -> Instance:
    """Lock the row of a live instance and return it.

    Raises `InstanceNotFoundError`, or `WrongStatusError` (`instance.terminal`) saying that it takes no `refused`.
    """
    rows = Instance.objects.select_for_update(no_key=True, of=("self",)).filter(hub__name=hub, instance_id=instance_id)
    rows = rows.only("pk", "status", "queue", "revision", "completed_at", "execution", "waiting", "blocked")
    row = rows.first() if codec.is_storable(instance_id) else None
    if row is None:
        raise InstanceNotFoundError(instance_id)
    if Status(row.status).is_terminal:
        since = f"{row.completed_at:%Y-%m-%d %H:%M:%S} UTC"
        raise WrongStatusError.terminal(instance_id, row.status, since, refused)
    return row


def accept_event(instance: int, event_id: str, name: str, now: datetime) -> bool:
    """Note that an external event with this id was accepted; False if it was before (EVT-5)."""
    receipt = EventReceipt(instance_id=instance, event_id=event_id, event_name=name, accepted_at=now)
    rows = [(receipt.instance_id, receipt.event_id, receipt.event_name, receipt.accepted_at)]
    columns = sql.Columns(EventReceipt, instance_id="int", event_id="text", event_name="text", accepted_at="time")
    return bool(sql.insert(columns, rows, suffix="ON CONFLICT DO NOTHING", returning="id"))


_HUB_NAME = re.compile(r"[A-Za-z0-9]{3,45}")
_hub_ids: dict[str, int] = {}
_hub_names: dict[int, str] = {}


def hub_id_of(name: str) -> int:
    """Return the key of a hub, creating it if it is new; asked for once in a process.

    Raises `InvalidError` (`name.invalid`) for a name that no hub can have.
    """
    found = _hub_ids.get(name)
    if found is None:
        if not _HUB_NAME.fullmatch(name):
            raise InvalidError("The name of a task hub must be 3 to 45 letters and digits.", code="name.invalid")
        found = TaskHub.objects.get_or_create(name=name)[0].pk
        transaction.on_commit(partial(_remember_hub, name, found))  # its creation may be rolled back
    return found


def _remember_hub(name: str, key: int) -> None:
    _hub_ids[name], _hub_names[key] = key, name


def hub_of(hub_id: int) -> str:
    """Return the name of a hub; it never changes, so it is asked for once in a process."""
    name = _hub_names.get(hub_id)
    if name is None:
        name = _hub_names[hub_id] = TaskHub.objects.values_list("name", flat=True).get(pk=hub_id)
    return name


def forget_hubs() -> None:
    """Drop what this process remembers of hubs: for tests, whose databases come and go."""
    _hub_ids.clear()
    _hub_names.clear()


def _lock_existing(new: NewInstance) -> Instance | None:
    rows = Instance.objects.select_for_update(of=("self",)).filter(hub_id=new.hub_id, instance_id=new.instance_id)
    return rows.only("pk", "status", "updated_at").first()


def _tags(tags: Mapping[str, str]) -> str:
    return json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":")) if tags else "{}"
