"""The people of the tests, one for each role and one without any, and rows to look at."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User

from orchestrations.control.actors import Actor, Role, actor_from_user
from orchestrations.engine.state import Status
from orchestrations.store import clock
from orchestrations.store.models import HistoryEvent, Instance, TaskHub

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


def make_row(**members: Any) -> Instance:
    """Insert an instance as if a worker had left it like this; it never runs."""
    hub, _ = TaskHub.objects.get_or_create(name=members.pop("hub", HUB))
    now = clock.now()
    ended = members.get("status") in {Status.COMPLETED, Status.FAILED, Status.TERMINATED}
    values: dict[str, Any] = {
        "hub": hub,
        "instance_id": uuid.uuid4().hex,
        "name": "Order",
        "status": Status.RUNNING,
        "queue": "nobody.serves.this",
        "execution": uuid.uuid4().hex,
        "created_at": now - timedelta(minutes=5),
        "updated_at": now - timedelta(minutes=1),
        "started_at": now - timedelta(minutes=5),
        "completed_at": now if ended else None,
    }
    return Instance.objects.create(**{**values, **members})


def waiting_for(*names: str, sequence: int = 2) -> str:
    """Return the column `waiting` of an instance that waits for these events."""
    since = (clock.now() - timedelta(minutes=2)).isoformat()
    waits = [{"kind": "event", "name": n, "sequence": sequence + i, "since": since} for i, n in enumerate(names)]
    return json.dumps(waits)


def make_history(row: Instance, number: int, **members: Any) -> None:
    """Append so many scheduled activities to the row's history."""
    body = {"EventType": "TaskScheduled", "Timestamp": "2026-03-01T08:00:00.1000000Z", "Name": "Charge", **members}
    events = [
        HistoryEvent(
            instance=row,
            execution=row.execution,
            sequence=i,
            kind=body["EventType"],
            body=json.dumps(body | {"EventId": i}),
        )
        for i in range(row.next_sequence, row.next_sequence + number)
    ]
    HistoryEvent.objects.bulk_create(events)
    row.next_sequence += number
    row.revision += 1
    row.save()
