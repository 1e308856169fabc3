"""Starting, waiting, reading times, and checking what a run left behind."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import tests.functions  # noqa: F401
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine import encoding
from orchestrations.engine.events import TimerCreated, TimerFired
from orchestrations.engine.state import Status
from orchestrations.store import clock
from orchestrations.store.models import ActivityTask, HistoryPart, InboxMessage, Instance
from tests.histories import events_of, parts_of
from tests.invariants import check_history, check_sequence, check_stored

LIVE = ("Pending", "Running", "Suspended")
WAIT_SECONDS = 110.0
POLL_SECONDS = 0.02
CLOSE_POLL_SECONDS = 0.001


def warm_up() -> None:
    """Let every worker import, connect, and learn how long functions take."""
    start_many("sequence", 3, 20)
    wait_for_all()


def start_many(name: str, client_input: Any, count: int) -> list[str]:
    """Start so many instances, one by one."""
    client = DurableClient()
    return [client.start_new(name, client_input=client_input) for _ in range(count)]


def batches_of(size: int) -> str:
    """Return how a workload's name says that calls stand for so many."""
    return f", batches of {size}" if size > 1 else ""


def wait_for_all() -> None:
    """Wait until no instance is live."""
    wait_until(lambda: not Instance.objects.filter(status__in=LIVE).exists(), POLL_SECONDS)


def wait_for_these(instance_ids: Sequence[str]) -> None:
    """Wait until none of these is live, whatever else is: each is found by its id."""
    hub = DurableClient().hub
    for instance_id in instance_ids:
        wait_until(lambda known=instance_id: _has_ended(hub, known), POLL_SECONDS)  # type: ignore[misc]


def wait_for_bodies(count: int) -> None:
    """Wait until so many instances run and wait for something."""
    wait_until(
        lambda: Instance.objects.filter(status="Running", schedule__lease_owner="").count() >= count, POLL_SECONDS
    )


def watch(instance_id: str) -> datetime:
    """Return the instant at which a client sees that the instance has ended, asking every millisecond."""
    hub = DurableClient().hub
    wait_until(lambda: queries.read_status(hub, instance_id) is Status.COMPLETED, CLOSE_POLL_SECONDS)
    return clock.now()


def wait_until(condition: Callable[[], bool], pause: float) -> None:
    """Ask again and again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"It did not end within {WAIT_SECONDS:g} s."
        time.sleep(pause)


def seconds_of(instance_ids: Sequence[str]) -> float:
    """Return the time from the first start to the last end, as the database holds them."""
    rows = [row for part in _parts(instance_ids) for row in _times_of(part)]
    assert len(rows) == len(instance_ids)
    ends = [end for _, end in rows if end is not None]
    return (max(ends) - min(begin for begin, _ in rows)).total_seconds()


def step_times(instance_id: str) -> list[datetime]:
    """Return when each activity of the instance ended."""
    return [event.timestamp for event in events_of(parts_of(instance_id)) if event.kind == "TaskCompleted"]


def quarter_ratio(times: Sequence[datetime]) -> float:
    """Return what the last quarter of the steps took over what the first took."""
    quarter = len(times) // 4
    return (times[-1] - times[-1 - quarter]) / (times[quarter] - times[0])


def milliseconds_around(times: Sequence[datetime], place: int, width: int = 20) -> float:
    """Return the median time of a step around that place."""
    window = times[max(0, place - width) : place + width]
    return statistics.median((b - a).total_seconds() * 1000 for a, b in pairwise(window))


def lateness(instance_ids: Sequence[str]) -> list[float]:
    """Return by how many milliseconds the turn of each instance's timer came after the instant that it was set for."""
    wanted = set(instance_ids)
    return [
        (row.instance.completed_at - event.fire_at).total_seconds() * 1000
        for row in HistoryPart.objects.select_related("instance")
        if row.instance.instance_id in wanted and row.instance.completed_at is not None
        for event in encoding.decode_all(row.body)
        if isinstance(event, TimerFired)
    ]


def fire_at(instance_id: str) -> datetime | None:
    """Return the instant that the instance's timer is set for, or None if there is none yet."""
    return next((e.fire_at for e in events_of(parts_of(instance_id)) if isinstance(e, TimerCreated)), None)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def check(instance_ids: Sequence[str], output: Any, activities: int) -> None:
    """Every instance has ended well, each of its activities has one result, no history has a gap, nothing is left."""
    assert not ActivityTask.objects.exists()
    assert not InboxMessage.objects.exists()
    check_these(instance_ids, output, activities)


def check_these(instance_ids: Sequence[str], output: Any, activities: int) -> None:
    """The same, whatever there is of others."""
    assert not ActivityTask.objects.filter(instance__instance_id__in=instance_ids).exists()
    rows = {
        r.pk: r
        for part in _parts(instance_ids)
        for r in Instance.objects.filter(instance_id__in=part).select_related("payload")
    }
    assert len(rows) == len(instance_ids)
    found = HistoryPart.objects.filter(instance__in=rows).order_by("instance_id", "sequence")
    seen = 0
    for key, group in groupby(found.iterator(), key=lambda row: row.instance_id):
        history, row = list(group), rows[key]
        events = [event for part in history for event in encoding.decode_all(part.body)]
        places = [place for part in history for place in range(part.sequence, part.sequence + part.count)]
        problems = check_sequence(places) + check_history(events)
        problems += check_stored(events, row.status, row.payload.output)
        assert not problems, (row.instance_id, problems[:5])
        assert (row.status, json.loads(row.payload.output or "null")) == ("Completed", output)
        assert sum(event.kind == "TaskCompleted" for event in events) == activities
        seen += 1
    assert seen == len(rows)


def _has_ended(hub: str, instance_id: str) -> bool:
    status = queries.read_status(hub, instance_id)
    return status is not None and status.is_terminal


def _times_of(instance_ids: Sequence[str]) -> list[tuple[datetime, datetime | None]]:
    return list(Instance.objects.filter(instance_id__in=instance_ids).values_list("created_at", "completed_at"))


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]
