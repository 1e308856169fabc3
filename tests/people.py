"""The people of the tests, one for each role and one without any, and rows to look at."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User

from orchestrations.control.actors import Actor, Role, actor_from_user
from orchestrations.engine.encoding import to_members
from orchestrations.engine.events import ExecutionStarted
from orchestrations.engine.state import Status
from orchestrations.store import clock
from orchestrations.store.models import Gate, Instance, Payload, Schedule, TaskHub
from tests.histories import append

HUB = "main"
PASSWORD = "only-for-tests-1"
STRANGER = "stranger"
PEOPLE = [*(role.value for role in Role), STRANGER]


def make_user(name: str, *roles: str) -> User:
    """Return a user with the roles given, by default the one of his name if there is one."""
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        user.set_password(PASSWORD)
        user.save()
    wanted = roles or ((name,) if name in set(Role) else ())
    user.groups.set([Group.objects.get_or_create(name=role)[0] for role in wanted])
    return user


def make_actor(name: str, *roles: str) -> Actor:
    """Return the actor of such a user."""
    actor = actor_from_user(make_user(name, *roles))
    assert actor is not None
    return actor


SCHEDULED = ("queue", "capability", "due_at", "gate", "execution", "position", "revision", "updated_at", "waiting")
MARKED = ("blocked", "blocked_detail")
TEXTS = ("output", "failure", "custom_status")


def make_row(**members: Any) -> Instance:
    """Insert an instance as if a worker had left it like this; it never runs. `input` becomes its first event."""
    hub, _ = TaskHub.objects.get_or_create(name=members.pop("hub", HUB))
    now = clock.now()
    ended = members.get("status") in {Status.COMPLETED, Status.FAILED, Status.TERMINATED}
    values: dict[str, Any] = {
        "hub": hub,
        "instance_id": uuid.uuid4().hex,
        "name": "Order",
        "status": Status.RUNNING,
        "created_at": now - timedelta(minutes=5),
        "started_at": now - timedelta(minutes=5),
        "completed_at": now if ended else None,
    }
    schedule: dict[str, Any] = {
        "queue": "nobody.serves.this",
        "capability": "Order",
        "execution": uuid.uuid4().hex,
        "updated_at": now - timedelta(minutes=1),
        "gate": Gate.CLOSED if ended else Gate.OPEN,
    }
    given_input = members.pop("input", None)
    schedule |= {name: members.pop(name) for name in (*SCHEDULED, *MARKED) if name in members}
    texts = {name: members.pop(name) for name in TEXTS if name in members}
    row = Instance.objects.create(**{**values, **members})
    Schedule.objects.create(instance=row, **schedule)
    if texts:
        Payload.objects.create(instance=row, **texts)
    if given_input is not None:
        _begin_with(row, given_input)
    return row


def change(row: Instance, **members: Any) -> None:
    """Let the instance's rows be as given, as if a worker had changed them."""
    facts = {k: v for k, v in members.items() if k not in (*SCHEDULED, *MARKED, *TEXTS)}
    schedule = {k: v for k, v in members.items() if k in (*SCHEDULED, *MARKED)}
    texts = {k: v for k, v in members.items() if k in TEXTS}
    if facts:
        Instance.objects.filter(pk=row.pk).update(**facts)
    if schedule:
        Schedule.objects.filter(pk=row.pk).update(**schedule)
    if texts:
        Payload.objects.update_or_create(instance_id=row.pk, defaults=texts)


def _begin_with(row: Instance, text: str) -> None:
    started = ExecutionStarted(
        timestamp=row.created_at,
        name=row.name,
        instance_id=row.instance_id,
        execution_id=row.schedule.execution,
        input=text,
    )
    append(row.pk, row.schedule.execution, 0, [to_members(started)])
    row.schedule.position = 1
    row.schedule.save()


def waiting_for(*names: str, sequence: int = 2) -> str:
    """Return the column `waiting` of an instance that waits for these events."""
    since = (clock.now() - timedelta(minutes=2)).isoformat()
    waits = [{"kind": "event", "name": n, "sequence": sequence + i, "since": since} for i, n in enumerate(names)]
    return json.dumps(waits)


def make_history(row: Instance, number: int, **members: Any) -> None:
    """Append so many scheduled activities to the row's history."""
    body = {"EventType": "TaskScheduled", "Timestamp": "2026-03-01T08:00:00.1000000Z", "Name": "Charge", **members}
    schedule = Schedule.objects.get(pk=row.pk)
    numbers = range(schedule.position, schedule.position + number)
    append(row.pk, schedule.execution, schedule.position, [{"EventId": n, **body} for n in numbers])
    schedule.position += number
    schedule.revision += 1
    schedule.save()
