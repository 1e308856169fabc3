"""Claims: a worker leases what a queue has due, many rows in one transaction, each by a new epoch.

Rows that somebody has locked are skipped; who locked them wakes the queue. A row whose last lease ran out is claimed
alone, lest a batch share the blame of one that kills its worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrations.engine.state import InstanceFacts, Status
from orchestrations.store import codec, sql
from orchestrations.store.instances import hub_of
from orchestrations.store.models import ActivityTask, Instance
from orchestrations.store.signals import announce_work

INSTANCE = Instance._meta.db_table
ACTIVITY = ActivityTask._meta.db_table


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit turns of one instance, until it runs out."""

    instance: int
    owner: str
    epoch: int


@dataclass(slots=True)
class ClaimedInstance:
    """An instance that we lease, as its row was when it was claimed."""

    lease: Lease
    hub: str
    hub_id: int
    facts: InstanceFacts
    queue: str
    history_length: int
    lost_turns: int
    depth: int
    parent: int | None
    parent_execution: str
    blocked: str
    blocked_detail: str
    custom_status: str | None
    revision: int = 0
    turned_at: datetime | None = None
    waiting: str = "[]"


@dataclass(slots=True)
class ClaimedActivity:
    """An attempt of an activity that we lease. `lost_attempts`: how often a worker was lost while it ran."""

    id: int
    epoch: int
    instance: int
    execution: str
    sequence: int
    attempt: int
    name: str
    input: str | None
    queue: str
    lost_attempts: int = 0
    hub: str = ""
    instance_id: str = ""


@dataclass(slots=True)
class Claim:
    """What was won. `full`: a bound was reached, so there may be more, and the queue was woken again."""

    instances: list[ClaimedInstance] = field(default_factory=list)
    activities: list[ClaimedActivity] = field(default_factory=list)
    full: bool = False


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """How many rows a claim may take, and for how long it leases them."""

    instances: int
    activities: int
    lease_seconds: float


def claim(queue: str, owner: str, limits: ClaimLimits, now: datetime) -> Claim:
    """Lease what `queue` has due and nobody's, oldest first. Durable when it returns; it opens its own transaction."""
    until = now + timedelta(seconds=limits.lease_seconds)
    found = Claim()
    with transaction.atomic():
        found.instances = _claim_instances(queue, owner, limits.instances, now, until)
        alone = any(row.lost_turns for row in found.instances)
        if limits.activities and not alone:
            found.activities = _claim_activities(queue, owner, limits.activities, now, until)
        found.full = alone or len(found.instances) >= limits.instances or 0 < limits.activities <= len(found.activities)
        if found.full:
            announce_work(queue)
    return found


def _claim_instances(queue: str, owner: str, most: int, now: datetime, until: datetime) -> list[ClaimedInstance]:
    statement = f"""
        WITH lost AS (
            SELECT id FROM {INSTANCE} WHERE queue = %s AND due_at <= %s AND lease_owner <> '' AND lease_until <= %s
            ORDER BY due_at LIMIT 1{sql.locking("FOR NO KEY UPDATE SKIP LOCKED")}
        ), fresh AS (
            SELECT id FROM {INSTANCE} WHERE queue = %s AND due_at <= %s AND lease_owner = ''
            ORDER BY due_at LIMIT %s{sql.locking("FOR NO KEY UPDATE SKIP LOCKED")}
        )
        UPDATE {INSTANCE} SET lease_owner = %s, lease_until = %s, lease_epoch = lease_epoch + 1,
            lost_turns = lost_turns + CASE WHEN lease_owner = '' THEN 0 ELSE 1 END
        WHERE id IN (SELECT id FROM lost UNION ALL SELECT id FROM fresh WHERE NOT EXISTS (SELECT 1 FROM lost))
        RETURNING id, lease_epoch, hub_id, instance_id, name, execution, status, version, tags, queue, next_sequence,
            lost_turns, depth, parent_id, parent_execution, parent_sequence, parent_attempt, blocked, blocked_detail,
            custom_status, revision, last_turn_at, waiting
    """
    rows = sql.fetch(statement, [queue, now, now, queue, now, most, owner, until])
    return [_read_instance(row, owner) for row in rows]


def _read_instance(row: tuple[Any, ...], owner: str) -> ClaimedInstance:
    (pk, epoch, hub_id, instance_id, name, execution, status, version, tags, queue, length, lost, depth) = row[:13]
    parent, parent_execution, parent_sequence, parent_attempt, blocked, blocked_detail = row[13:19]
    facts = InstanceFacts(
        instance_id=instance_id,
        name=name,
        execution_id=execution,
        status=Status(status),
        version=version,
        tags=codec.read_tags(tags),
        parent=codec.parent_of(parent, parent_execution, parent_sequence, parent_attempt),
    )
    return ClaimedInstance(
        lease=Lease(pk, owner, epoch),
        hub=hub_of(hub_id),
        hub_id=hub_id,
        facts=facts,
        queue=queue,
        history_length=length,
        lost_turns=lost,
        depth=depth,
        parent=parent,
        parent_execution=parent_execution,
        blocked=blocked,
        blocked_detail=blocked_detail,
        custom_status=row[19],
        revision=row[20],
        turned_at=sql.read_time(row[21]),
        waiting=row[22],
    )


def _claim_activities(queue: str, owner: str, most: int, now: datetime, until: datetime) -> list[ClaimedActivity]:
    statement = f"""
        WITH lost AS (
            SELECT id FROM {ACTIVITY} WHERE queue = %s AND due_at <= %s AND lease_owner <> '' AND lease_until <= %s
            ORDER BY due_at, id LIMIT 1{sql.locking("FOR UPDATE SKIP LOCKED")}
        ), fresh AS (
            SELECT id FROM {ACTIVITY} WHERE queue = %s AND due_at <= %s AND lease_owner = ''
            ORDER BY due_at, id LIMIT %s{sql.locking("FOR UPDATE SKIP LOCKED")}
        )
        UPDATE {ACTIVITY} SET lease_owner = %s, lease_until = %s, lease_epoch = lease_epoch + 1,
            lost_attempts = lost_attempts + CASE WHEN lease_owner = '' THEN 0 ELSE 1 END
        WHERE id IN (SELECT id FROM lost UNION ALL SELECT id FROM fresh WHERE NOT EXISTS (SELECT 1 FROM lost))
        RETURNING id, lease_epoch, instance_id, execution, sequence, attempt, name, input, queue, lost_attempts,
            (SELECT hub_id FROM {INSTANCE} i WHERE i.id = {ACTIVITY}.instance_id),
            (SELECT i.instance_id FROM {INSTANCE} i WHERE i.id = {ACTIVITY}.instance_id)
    """
    rows = sql.fetch(statement, [queue, now, now, queue, now, most, owner, until])
    return sorted((_read_activity(row) for row in rows), key=lambda activity: activity.id)


def _read_activity(row: tuple[Any, ...]) -> ClaimedActivity:
    activity = ClaimedActivity(*row[:10])
    activity.hub, activity.instance_id = hub_of(row[10]), row[11]
    return activity
