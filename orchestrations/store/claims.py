"""Claims: a worker leases what a queue has due, many rows in one commit, each by a new epoch.

Rows that somebody has locked are skipped; who locked them wakes the queue. A row whose last lease ran out is claimed
alone, by a worker with empty hands, lest others share the blame of one that kills its worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from django.db import connection, transaction

from orchestrations.engine.state import Status
from orchestrations.store import clock, conditions, hubs, looks, owed, sql
from orchestrations.store.activities import ACTIVITY
from orchestrations.store.claimed import (
    FACTS,
    ClaimedActivity,
    ClaimedInstance,
    Facts,
    ScheduleRow,
    read_activity,
    read_instance,
    read_schedule,
    schedule_columns,
)
from orchestrations.store.inbox import SCHEDULE
from orchestrations.store.instances import INSTANCE
from orchestrations.store.looks import Question, Waiting
from orchestrations.store.signals import announce_work

T = TypeVar("T")
INPUT_CHARACTERS = 16 * 1024 * 1024
"""How much input a claim of activities takes at most; the first one whatever its size."""

SCANNED = 500
"""How many due activities a claim looks at, oldest first, if it leaves out some by name: a long backlog of what other
workers run must not cost every claim."""


class Patience(Protocol):
    """What does something, and again if it may be worth it."""

    def __call__(self, action: Callable[[], T], /) -> T:
        """Return what it returned in the end."""


def _at_once(action: Callable[[], T], /) -> T:
    return action()


@dataclass(slots=True)
class Claim:
    """What was won. `full`: a bound was reached, so there may be more, and the queue was woken again."""

    instances: list[ClaimedInstance] = field(default_factory=list)
    activities: list[ClaimedActivity] = field(default_factory=list)
    full: bool = False


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """How many rows a claim may take, and for how long it leases them.

    `may_take_lost`: the hands are empty, so that a row whose last lease ran out may be taken, alone.
    `unknown_activities` and `unknown_capabilities` name what this worker cannot run.
    """

    instances: int
    activities: int
    lease_seconds: float
    may_take_lost: bool = True
    unknown_activities: tuple[str, ...] = ()
    unknown_capabilities: tuple[str, ...] = ()


def claim(queue: str, owner: str, limits: ClaimLimits, now: datetime, *, patiently: Patience = _at_once) -> Claim:
    """Lease what `queue` has due and nobody's, oldest first.

    Durable when it returns; it refuses to be called in a transaction. `patiently` does each of the two parts, and may
    do it again. After an error something may be leased that nobody knows of: give it back with `leases.hand_back`.
    """
    if connection.in_atomic_block:
        raise RuntimeError("claim() commits by itself: call it outside of any transaction")
    wanted = _Wanted(queue, owner, limits, now, now + timedelta(seconds=limits.lease_seconds))
    lease = _lease_together if sql.is_postgres() else _lease_in_turn
    rows, attempts = patiently(lambda: lease(wanted))
    found = patiently(lambda: _read(rows, attempts, clock.now()))  # locks may have taken long
    if owing := [one.row for one in found.instances if one.row.owed]:
        patiently(lambda: owed.take_over(owing, clock.now()))
    if found.full or _is_full(found, limits):
        found.full = True
        announce_work(queue, is_surplus=True)
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be leased, for whom, until when."""

    queue: str
    owner: str
    limits: ClaimLimits
    now: datetime
    until: datetime


_Rows = list[tuple[Any, ...]]


def _lease_together(wanted: _Wanted) -> tuple[_Rows, _Rows]:
    """Lease by one statement, as PostgreSQL can: it locks and writes nothing where nothing is due."""
    instances = _lease_instances(wanted)
    if not wanted.limits.activities:
        return instances.alone(), []
    activities = _lease_activities(
        wanted,
        unless=f"EXISTS (SELECT 1 FROM {_LEASED} WHERE losses > 0)",
        unless_lost=f"EXISTS (SELECT 1 FROM {_LEASED})",
    )
    rows, attempts = sql.gather([instances, activities], names=[_LEASED, "attempts"])
    return rows, attempts


def _lease_in_turn(wanted: _Wanted) -> tuple[_Rows, _Rows]:
    """Lease in a transaction, as SQLite must: there one that may write is alone in the database, so one that would find
    nothing must not begin."""
    has_instances, has_activities = _is_due(wanted.queue, wanted.now)
    has_activities &= wanted.limits.activities > 0
    if not has_instances and not has_activities:
        return [], []
    with transaction.atomic(durable=True):
        rows = _lease_instances(wanted).alone() if has_instances else []
        if not has_activities or any(read_schedule(row[:-1]).losses for row in rows):
            return rows, []
        return rows, _lease_activities(wanted, unless="FALSE", unless_lost="TRUE" if rows else "FALSE").alone()


def _is_due(queue: str, now: datetime) -> tuple[bool, bool]:
    """Tell whether the queue has instances, and activities, that may be claimed."""
    tables = ((SCHEDULE, ""), (ACTIVITY, " AND blocked = ''"))
    wanted = [
        f"EXISTS (SELECT 1 FROM {table} WHERE queue = %s AND due_at <= %s AND lease_until IS NULL{more})"
        f" OR EXISTS (SELECT 1 FROM {table} WHERE queue = %s AND lease_until <= %s)"
        for table, more in tables
    ]
    ((has_instances, has_activities),) = sql.fetch(f"SELECT {', '.join(wanted)}", [queue, now] * 4)
    return bool(has_instances), bool(has_activities)


def _is_full(found: Claim, limits: ClaimLimits) -> bool:
    size = sum(len(activity.input or "") for activity in found.activities)
    return (
        len(found.instances) >= limits.instances
        or 0 < limits.activities <= len(found.activities)
        or size >= INPUT_CHARACTERS
    )


def _lease_instances(wanted: _Wanted) -> sql.Query:
    """Take a lost instance alone; none while a lost activity waits to be taken alone; else what is due."""
    lock = conditions.locking("FOR NO KEY UPDATE SKIP LOCKED")
    queue, now, limits = wanted.queue, wanted.now, wanted.limits
    unknown, excluded = _without("capability", limits.unknown_capabilities)
    fresh = (
        f"SELECT instance_id FROM {SCHEDULE} WHERE queue = %s AND due_at <= %s AND lease_until IS NULL{unknown}"
        f" ORDER BY due_at LIMIT %s{lock}"
    )
    parameters: list[Any] = [queue, now, *excluded, limits.instances]
    if limits.may_take_lost:
        head = (
            f"WITH lost AS (SELECT instance_id FROM {SCHEDULE} WHERE queue = %s AND lease_until <= %s"
            f" ORDER BY lease_until LIMIT 1{lock}), lost_activity AS (SELECT id FROM {ACTIVITY} WHERE queue = %s"
            f" AND lease_until <= %s ORDER BY lease_until LIMIT 1{conditions.locking('FOR UPDATE SKIP LOCKED')}),"
            f" fresh AS ({fresh})"
        )
        picked = (
            "SELECT instance_id FROM lost UNION ALL SELECT instance_id FROM fresh"
            " WHERE NOT EXISTS (SELECT 1 FROM lost) AND NOT EXISTS (SELECT 1 FROM lost_activity)"
        )
        parameters = [queue, now, queue, now, *parameters]
    else:
        head, picked = f"WITH fresh AS ({fresh})", "SELECT instance_id FROM fresh"
    facts = "NULL" if sql.is_postgres() else f"(SELECT json_array({_FACTS_LIST}) {_FROM_INSTANCE})"
    return sql.query(
        f"{head} UPDATE {SCHEDULE} SET lease_owner = %s, lease_until = %s, lease_epoch = lease_epoch + 1,"
        f" losses = losses + CASE WHEN lease_until IS NULL THEN 0 ELSE 1 END"
        f" WHERE {conditions.chosen('instance_id', picked)} RETURNING {_SCHEDULE_COLUMNS}, {facts} AS facts",
        [*parameters, wanted.owner, wanted.until],
    )


_SCHEDULE_COLUMNS = schedule_columns()
_FACTS_LIST = ", ".join(f"i.{name}" for name in FACTS)
_LEASED = "leased"
"""What the rows of leased instances are called in the statement that leases activities with them."""
_FROM_INSTANCE = f"FROM {INSTANCE} i WHERE i.id = {SCHEDULE}.instance_id"


def _read(rows: _Rows, attempts: _Rows, now: datetime) -> Claim:
    """Return what was leased, the instances with their facts and what waits for them; it is full if something of it was
    to be taken alone. An instance that was replaced since it was leased is gone with its lease."""
    schedules = [read_schedule(row[:-1]) for row in rows]
    facts, waiting = _read_facts(schedules, [row[-1] for row in rows], now)
    names = hubs.names_of([*(one["hub_id"] for one in facts.values()), *(row[10] for row in attempts)])
    there = [schedule for schedule in schedules if schedule.instance_id in facts]
    instances = [read_instance(schedule, facts[schedule.instance_id], names) for schedule in there]
    for one in instances:
        one.inbox = waiting.get(one.row.instance_id, Waiting())
    activities = [read_activity(row, names) for row in sorted(attempts, key=lambda row: (row[12], row[0]))]
    is_alone = any(one.row.losses for one in instances) or any(one.losses for one in activities)
    return Claim(instances, activities, full=is_alone)


def _read_facts(
    schedules: Sequence[ScheduleRow], texts: Sequence[str], now: datetime
) -> tuple[dict[int, Facts], dict[int, Waiting]]:
    """Return the facts of leased instances, and what waits for them.

    PostgreSQL reads both by a statement after the one that has the locks: that one sees them as they were when it
    began. It asks as most instances are, running, and asks anew for those of which that was wrong. SQLite's
    transactions are alone, so there the facts came with the rows, as `texts`.
    """
    if not schedules:
        return {}, {}
    if not sql.is_postgres():
        facts = {row[0]: dict(zip(FACTS, row, strict=True)) for row in map(json.loads, texts)}
        return facts, looks.look([_question(one, facts[one.instance_id]) for one in schedules], now)
    keys, values = conditions.keys("instance", [schedule.instance_id for schedule in schedules])
    questions = [Question(one.instance_id, Status.RUNNING, is_first=not one.position) for one in schedules]
    read = sql.query(f"SELECT {_FACTS_LIST} FROM ({keys}) k JOIN {INSTANCE} i ON i.id = k.instance", values)
    found, messages = sql.gather([read, looks.question(questions, now)])
    facts = {row[0]: dict(zip(FACTS, row, strict=True)) for row in found}
    waiting = looks.read(messages)
    right = [_question(one, facts[one.instance_id]) for one in schedules if one.instance_id in facts]
    for one in (anew := [one for one in right if not one.most]):
        waiting.pop(one.instance, None)
    return facts, waiting | looks.look(anew, now)


def _question(schedule: ScheduleRow, facts: Facts) -> Question:
    return Question(schedule.instance_id, Status(facts["status"]), is_first=not schedule.position)


def _lease_activities(wanted: _Wanted, *, unless: str, unless_lost: str) -> sql.Query:
    """Take a lost attempt alone, unless the second condition holds; else what is due, unless the first does."""
    lock = conditions.locking("FOR UPDATE SKIP LOCKED")
    queue, now, limits = wanted.queue, wanted.now, wanted.limits
    unknown, excluded = _without("name", limits.unknown_activities)
    due = (
        f"SELECT id, due_at, size, name FROM {ACTIVITY}"
        " WHERE queue = %s AND due_at <= %s AND lease_until IS NULL AND blocked = ''"
        f" ORDER BY due_at, id LIMIT %s{lock}"
    )
    sized = (
        "SELECT id, sum(size) OVER (ORDER BY due_at, id) - size AS before,"
        f" row_number() OVER (ORDER BY due_at, id) AS place FROM due WHERE TRUE{unknown}"
    )
    fresh = f"SELECT id FROM ({sized}) AS sized WHERE before < {INPUT_CHARACTERS} AND place <= %s"
    scanned = max(limits.activities, SCANNED) if excluded else limits.activities
    parameters: list[Any] = [queue, now, scanned, *excluded, limits.activities]
    head, picked = f"WITH due AS ({due}), fresh AS ({fresh})", f"SELECT id FROM fresh WHERE NOT {unless}"
    if limits.may_take_lost:
        lost = f"SELECT id FROM {ACTIVITY} WHERE queue = %s AND lease_until <= %s ORDER BY lease_until LIMIT 1{lock}"
        head = f"WITH lost AS ({lost}), due AS ({due}), fresh AS ({fresh})"
        is_lost = f"NOT {unless_lost} AND EXISTS (SELECT 1 FROM lost)"
        picked = f"SELECT id FROM lost WHERE NOT {unless_lost} UNION ALL {picked} AND NOT ({is_lost})"
        parameters = [queue, now, *parameters]
    return sql.query(
        f"{head} UPDATE {ACTIVITY} SET lease_owner = %s, lease_until = %s, lease_epoch = lease_epoch + 1,"
        " losses = losses + CASE WHEN lease_until IS NULL THEN 0 ELSE 1 END"
        f" WHERE {conditions.chosen('id', picked)}"
        " RETURNING id, lease_epoch, instance_id, execution, sequence, attempt, name, input, queue, losses,"
        f" (SELECT i.hub_id FROM {INSTANCE} i WHERE i.id = {ACTIVITY}.instance_id) AS hub,"
        f" (SELECT i.instance_id FROM {INSTANCE} i WHERE i.id = {ACTIVITY}.instance_id) AS called, due_at",
        [*parameters, wanted.owner, wanted.until],
    )


def _without(column: str, names: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Return a condition that leaves out rows with these names, and its parameters."""
    if not names:
        return "", []
    return f" AND {column} NOT IN ({', '.join(['%s'] * len(names))})", list(names)
