"""What does not move although it is live, and why: its mark, an activity nobody can run, a queue nobody serves.

Only the first is a column of the instance; the others are told from the activities and the workers, so that they are
true at the moment of reading (TSK-8).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from orchestrations.client.status import Blocked
from orchestrations.engine.state import TERMINAL
from orchestrations.store import clock, due, processes
from orchestrations.store.models import ActivityTask, Instance, Schedule

MISSING_FUNCTION, NO_WORKER = "missing-function", "no-worker"
GRACE = timedelta(seconds=3)
"""For how long something may be due before its queue is looked at."""

ROWS = 5000
"""Of each reason so many rows are looked at, however many there are."""


def is_stuck() -> Q:
    """Return the condition for instances that do not move although they are live: of those with each reason the first
    5,000."""
    keys = _first(Schedule.objects.filter(blocked__gt="").order_by("blocked").values_list("pk", flat=True))
    keys |= _first(ActivityTask.objects.filter(blocked__gt="").order_by("blocked").values_list("instance", flat=True))
    queues, until = unserved_queues()
    if queues:
        waiting = {"queue__in": queues, "due_at__lte": until, "lease_until": None}
        keys |= _first(Schedule.objects.filter(**waiting).order_by("due_at").values_list("pk", flat=True))
        activities = ActivityTask.objects.filter(**waiting, blocked="").order_by("due_at")
        keys |= _first(activities.values_list("instance", flat=True))
    return Q(pk__in=keys) & ~Q(status__in=TERMINAL)


def explain(rows: Iterable[Instance]) -> dict[int, Blocked]:
    """Return why each of these instances does not move; those that do are left out. A constant number of queries."""
    live = {row.pk: row for row in rows if row.status not in TERMINAL}
    found = {pk: blocked for pk, row in live.items() if (blocked := own_mark(row.schedule)) is not None}
    rest = [pk for pk in live if pk not in found]
    if rest:
        found = _of_activities(rest) | found
        found = _of_queues([live[pk] for pk in rest if pk not in found]) | found
    return found


def own_mark(row: Schedule) -> Blocked | None:
    """Return the mark that a worker has put on the instance, if any."""
    if not row.blocked:
        return None
    facts = json.loads(row.blocked_detail)
    since = datetime.fromisoformat(facts["since"])
    return Blocked(reason=row.blocked, message=facts["message"], since=since, tries=facts["tries"])


def unserved_queues() -> tuple[list[str], datetime]:
    """Return the queues in which something has been due for a while and that no living worker serves."""
    now = clock.now()
    until = now - GRACE
    return sorted(due.queues_with_due(until) - processes.queues_served(now)), until


def _first(keys: QuerySet[Any, Any]) -> set[int]:
    """A constant number of rows is read, whatever the planner makes of a subquery."""
    return set(keys[:ROWS])


def _of_activities(instances: Sequence[int]) -> dict[int, Blocked]:
    rows = ActivityTask.objects.filter(instance__in=instances, blocked__gt="").order_by("-id")
    found: dict[int, Blocked] = {}
    names: dict[str, str] = {}
    for row in rows.only("instance_id", "name", "queue", "created_at")[:ROWS]:
        if row.name not in names:
            names[row.name] = _missing(row.name, row.queue)
        found[row.instance_id] = Blocked(reason=MISSING_FUNCTION, message=names[row.name], since=row.created_at)
    return found


def _missing(name: str, queue: str) -> str:
    known = processes.functions_served(queue, clock.now()).get("activity", set())
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"Activity '{name}' is not registered on any live worker of the queue '{queue}'{hint}"


def _of_queues(rows: Sequence[Instance]) -> dict[int, Blocked]:
    queues, until = unserved_queues() if rows else ([], clock.now())
    if not queues:
        return {}
    waiting = ActivityTask.objects.filter(
        instance__in=[row.pk for row in rows], queue__in=queues, due_at__lte=until, lease_until=None, blocked=""
    )
    found: dict[int, Blocked] = {}
    for row in waiting.only("instance_id", "name", "queue", "created_at").order_by("-id")[:ROWS]:
        found[row.instance_id] = _unserved(f"Activity '{row.name}'", row.queue, row.created_at)
    schedules = Schedule.objects.filter(
        pk__in=[row.pk for row in rows], queue__in=queues, due_at__lte=until, lease_until=None
    )
    for pk, queue, due_at in schedules.values_list("pk", "queue", "due_at"):
        found.setdefault(pk, _unserved("It", queue, due_at or until))
    return found


def _unserved(what: str, queue: str, since: datetime) -> Blocked:
    advice = f"Start one: 'manage.py durable_worker --queue {queue}'."
    message = f"{what} waits in the queue '{queue}', which no live worker serves. {advice}"
    return Blocked(reason=NO_WORKER, message=message, since=since)
