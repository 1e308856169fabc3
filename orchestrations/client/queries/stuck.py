"""What cannot go on: instances that are parked, and activities that no worker knows (NDT-6, TSK-8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from orchestrations.client.status import Blocked
from orchestrations.store.models import ActivityTask, Schedule


def stuck_instances() -> QuerySet[Any, Any]:
    """Return the keys of the instances that are parked or wait for an activity that nobody knows, by their indexes."""
    parked = Schedule.objects.filter(blocked__gt="").values("pk")
    return parked.union(_deferred().values("instance_id"))


def has_deferred_activity() -> QuerySet[Any, Any]:
    """Return the keys of the instances that wait for an activity that nobody knows."""
    return _deferred().values("instance_id")


def find_deferred(instances: Iterable[int]) -> dict[int, Blocked]:
    """Return instance key → why it is stuck, for those that wait for an activity that no worker knows."""
    rows = _deferred().filter(instance_id__in=list(instances)).order_by("-id")
    values = rows.values_list("instance_id", "blocked", "name", "created_at")
    return {pk: Blocked(reason, _message(name), created_at) for pk, reason, name, created_at in values}


def _deferred() -> QuerySet[ActivityTask]:
    return ActivityTask.objects.filter(blocked__gt="")


def _message(name: str) -> str:
    return f"No worker that serves its queue knows the activity '{name}'. Deploy it, or restart the workers."
