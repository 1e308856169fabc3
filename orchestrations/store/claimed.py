"""What a claim has won: instances and attempts of activities, each as its rows are under our lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from orchestrations.engine.state import InstanceFacts, Status
from orchestrations.store import codec, sql
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.looks import Waiting


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit turns of one instance, until it runs out."""

    instance: int
    owner: str
    epoch: int


@dataclass(slots=True)
class ScheduleRow:
    """An instance's `Schedule` row as a claim or a commit has left it; the names are the columns'."""

    instance_id: int
    queue: str
    lease_owner: str
    lease_epoch: int
    losses: int
    arrivals: int
    execution: str
    position: int
    history_size: int
    revision: int
    turned_at: datetime | None
    waiting: str
    blocked: str
    blocked_detail: str
    owed: str


_TIMES = ("turned_at",)


def schedule_columns(table: str = SCHEDULE) -> str:
    """Return the columns of a `ScheduleRow` for a statement; its time as text, which is read in a tenth of the time."""
    columns = [(f"{table}.{f.name}", f.name in _TIMES) for f in fields(ScheduleRow)]
    return ", ".join(f"CAST({column} AS text)" if is_time else column for column, is_time in columns)


def read_schedule(row: Sequence[Any]) -> ScheduleRow:
    """Return the row that a statement gave for `schedule_columns`."""
    found = ScheduleRow(*row)
    found.turned_at = sql.read_time(found.turned_at)
    return found


@dataclass(slots=True)
class ClaimedInstance:
    """An instance that we lease, as its rows were when it was claimed or last committed."""

    row: ScheduleRow
    facts: InstanceFacts
    hub: str
    hub_id: int
    depth: int
    parent: int | None
    parent_execution: str
    has_begun: bool
    inbox: Waiting | None = None
    """What waits for it as of `row.arrivals`, once somebody has looked."""

    @property
    def lease(self) -> Lease:
        """The lease that a commit needs."""
        return Lease(self.row.instance_id, self.row.lease_owner, self.row.lease_epoch)


@dataclass(slots=True)
class ClaimedActivity:
    """An attempt of an activity that we lease. `losses`: how often a worker was lost while it held it."""

    id: int
    epoch: int
    instance: int
    execution: str
    sequence: int
    attempt: int
    name: str
    input: str | None
    queue: str
    losses: int = 0
    hub: str = ""
    instance_id: str = ""


Facts = dict[str, Any]
"""The columns of an `Instance` row that a claim reads, by name."""

FACTS = (
    *("id", "hub_id", "instance_id", "name", "status", "version", "tags", "depth", "parent_id", "parent_execution"),
    *("parent_sequence", "parent_attempt", "started_at"),
)


def read_instance(schedule: ScheduleRow, facts: Facts, names: Mapping[int, str]) -> ClaimedInstance:
    """Return the instance of these rows; `names` are those of hubs."""
    parent = facts["parent_id"], facts["parent_execution"], facts["parent_sequence"], facts["parent_attempt"]
    return ClaimedInstance(
        row=schedule,
        facts=InstanceFacts(
            instance_id=facts["instance_id"],
            name=facts["name"],
            execution_id=schedule.execution,
            status=Status(facts["status"]),
            version=facts["version"],
            tags=codec.read_tags(facts["tags"]),
            parent=codec.parent_of(*parent),
        ),
        hub=names[facts["hub_id"]],
        hub_id=facts["hub_id"],
        depth=facts["depth"],
        parent=facts["parent_id"],
        parent_execution=facts["parent_execution"],
        has_begun=facts["started_at"] is not None,
    )


def read_activity(row: Sequence[Any], names: Mapping[int, str]) -> ClaimedActivity:
    """Return the attempt that a claim's statement gave, followed by its instance's hub and ID."""
    activity = ClaimedActivity(*row[:10])
    activity.hub, activity.instance_id = names[row[10]], row[11]
    return activity
