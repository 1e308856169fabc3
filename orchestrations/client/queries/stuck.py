"""What does not move although it is live, and why: its mark, an activity nobody can run, a queue nobody serves.

Only the first is a column of the instance; the others are told from the activities and the workers, so that they are
true at the moment of reading (TSK-8).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from orchestrations.client.status import Blocked
from orchestrations.store import clock, due, processes
from orchestrations.store.models import ActivityTask, Schedule

MISSING_FUNCTION, NO_WORKER = "missing-function", "no-worker"
GRACE = timedelta(seconds=3)
"""For how long something may be due before its queue is looked at."""

ROWS, QUEUES = 5000, 20
"""Of each reason so many rows are looked at, and so many of the queues that nobody serves, however many there are."""


def stuck_instances() -> set[int]:
    """Return the keys of instances that do not move although they are live: of each reason, and of each of the first 20
    queues that nobody serves, the first 5,000."""
    keys = _first(Schedule.objects.filter(blocked__gt="").order_by("blocked").values_list("pk", flat=True))
    keys |= _first(ActivityTask.objects.filter(blocked__gt="").order_by("blocked").values_list("instance", flat=True))
    queues, until = unserved_queues()
    for queue in queues[:QUEUES]:  # one by one, as the index has them: of several at once all would be read and sorted
        waiting = {"queue": queue, "due_at__lte": until, "lease_until": None}
        keys |= _first(Schedule.objects.filter(**waiting).order_by("due_at").values_list("pk", flat=True))
        activities = ActivityTask.objects.filter(**waiting, blocked="").order_by("due_at")
        keys |= _first(activities.values_list("instance", flat=True))
    return keys


def find_deferred(instances: Iterable[int]) -> dict[int, Blocked]:
    """Return instance key → why it is stuck although its own code is not to blame. A constant number of queries."""
    keys = list(instances)
    found = _of_activities(keys)
    return _of_queues([key for key in keys if key not in found]) | found


def unserved_queues() -> tuple[list[str], datetime]:
    """Return the queues in which something has been due for a while and that no living worker serves."""
    now = clock.now()
    until = now - GRACE
    return due.unserved_queues(until, now - processes.SERVES_WITHIN), until


def _first(keys: QuerySet[Any, Any]) -> set[int]:
    """A constant number of rows is read, whatever the planner makes of a subquery."""
    return set(keys[:ROWS])


def _newest_first(rows: QuerySet[ActivityTask]) -> list[ActivityTask]:
    """Return the rows, the oldest one of each instance last; of very many, some: to sort them is to read them all."""
    found = rows.only("instance_id", "name", "queue", "created_at")[:ROWS]
    return sorted(found, key=lambda row: (row.created_at, row.pk), reverse=True)


def _of_activities(instances: Sequence[int]) -> dict[int, Blocked]:
    found: dict[int, Blocked] = {}
    names: dict[str, str] = {}
    for row in _newest_first(ActivityTask.objects.filter(instance__in=instances, blocked__gt="")):
        if row.name not in names:
            names[row.name] = _missing(row.name, row.queue)
        found[row.instance_id] = Blocked(reason=MISSING_FUNCTION, message=names[row.name], since=row.created_at)
    return found


def _missing(name: str, queue: str) -> str:
    known = processes.functions_served(queue, clock.now()).get("activity", set())
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    advice = "Deploy an activity of that name; a corrected orchestrator helps new instances only."
    return f"Activity '{name}' is not registered on any live worker of the queue '{queue}'{hint} {advice}"


def _of_queues(instances: Sequence[int]) -> dict[int, Blocked]:
    queues, until = unserved_queues() if instances else ([], clock.now())
    if not queues:
        return {}
    waiting = ActivityTask.objects.filter(
        instance__in=instances, queue__in=queues, due_at__lte=until, lease_until=None, blocked=""
    )
    found: dict[int, Blocked] = {}
    for row in _newest_first(waiting):
        found[row.instance_id] = _unserved(f"Activity '{row.name}'", row.queue, row.created_at)
    schedules = Schedule.objects.filter(pk__in=instances, queue__in=queues, due_at__lte=until, lease_until=None)
    for pk, queue, due_at in schedules.values_list("pk", "queue", "due_at"):
        found.setdefault(pk, _unserved("It", queue, due_at or until))
    return found


def _unserved(what: str, queue: str, since: datetime) -> Blocked:
    advice = f"Start one: 'manage.py durable_worker --queue {queue}', or name it in DURABLE_QUEUES of 'make run'."
    message = f"{what} waits in the queue '{queue}', which no live worker serves. {advice}"
    return Blocked(reason=NO_WORKER, message=message, since=since)
