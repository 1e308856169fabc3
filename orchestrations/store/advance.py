"""What a commit writes of the instances themselves: their rows as the turns leave them, and new history with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrations.engine import encoding
from orchestrations.engine.events import ExecutionStarted
from orchestrations.engine.plan import TurnPlan
from orchestrations.engine.state import Status
from orchestrations.store import histories, owed, shares, sql
from orchestrations.store.batch import Committed, Pair, PlansLost, TurnCommit
from orchestrations.store.claimed import ClaimedInstance, ScheduleRow, read_schedule, schedule_columns
from orchestrations.store.looks import Waiting
from orchestrations.store.models import Gate, Instance, Payload, Schedule
from orchestrations.store.owed import Owed

_FACTS = sql.Columns(
    Instance,
    id="int",
    status="text",
    status_reason="text",
    version="text",
    started_at="time",
    completed_at="time",
)
_PAYLOADS = sql.Columns(Payload, instance_id="int", output="text", failure="text", custom_status="text")
SCHEDULES = sql.Columns(
    Schedule,
    instance_id="int",
    due_at="time",
    gate="int",
    lease_owner="text",
    lease_until="time",
    losses="int",
    execution="text",
    position="int",
    history_size="int",
    turned_at="time",
    waiting="text",
    blocked="text",
    blocked_detail="text",
    owed="text",
    held_by="text",
    held_epoch="int",
    held_arrivals="int",
    held_execution="text",
    long_enough="time",
)
_PLAIN = [name for name in SCHEDULES.names[1:-5] if name != "lease_until"]
# A lease with two thirds of its time before it stays as it is: PostgreSQL touches no index then (a heap-only update),
# and a beat, which comes at least twice in a lease and skips rows that are locked, finds it in time at its next turn.
ASSIGN = ", ".join(f"{name} = v.{name}" for name in _PLAIN) + (
    ", lease_until = CASE WHEN t.lease_until >= v.long_enough THEN t.lease_until ELSE v.lease_until END"
    ", updated_at = COALESCE(v.turned_at, t.updated_at), revision = t.revision + 1"
)
OURS = "t.lease_owner = v.held_by AND t.lease_epoch = v.held_epoch AND t.execution = v.held_execution"
_RETURNING = {True: schedule_columns("t"), False: schedule_columns()}
"""For PostgreSQL, which would find some of the names in `v`, too; and for SQLite, which knows no alias there."""

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(slots=True)
class Rows:
    """What a batch writes of its instances."""

    schedules: list[sql.Row] = field(default_factory=list)
    history: list[sql.Row] = field(default_factory=list)
    facts: list[sql.Row] = field(default_factory=list)
    payloads: list[sql.Row] = field(default_factory=list)

    def beside(self) -> list[sql.Change]:
        """Return what is written beside the schedules."""
        found = [sql.Change(histories.PARTS, self.history)] if self.history else []
        return [*found, *sql.changes(_FACTS, self.facts), *sql.upserts(_PAYLOADS, self.payloads)]


def rows_of(kept: Sequence[Pair], now: datetime, until: datetime) -> Rows:
    """Return the rows as the plans leave them; what waits is in the answers, which learn whether they are kept."""
    rows = Rows()
    for c, answer in kept:
        events = _history_of(c)
        parts = histories.rows_of(c.key, c.held.facts.execution_id, c.held.row.position, events)
        debt = {} if c.ends else c.still_owed | shares.places(c, [(part["sequence"], part["count"]) for part in parts])
        rows.history += parts
        rows.schedules.append(_schedule_of(c, answer, events, debt, now, until))
        rows.facts += _facts_of(c)
        rows.payloads += _payload_of(c)
    return rows


def write(kept: Sequence[Pair], found: Mapping[int, Waiting], now: datetime, until: datetime) -> None:
    """Write the instances' rows and histories, and note in each answer what its instance is now.

    `PlansLost` for instances whose lease is somebody else's.
    """
    for c, answer in kept:
        answer.waiting = found.get(c.key, Waiting())
    rows = rows_of(kept, now, until)
    returned = sql.update(SCHEDULES, ASSIGN, rows.schedules, where=OURS, returning=returning(), beside=rows.beside())
    if lost := {c.key for c, _ in kept} - {row[0] for row in returned}:
        raise PlansLost(lost)
    follow(kept, returned)


def returning() -> str:
    """Return what the update of the schedules tells, for `follow`."""
    return _RETURNING[sql.is_postgres()]


def follow(kept: Sequence[Pair], returned: Sequence[Sequence[Any]]) -> None:
    """Note in each answer what its instance is now."""
    by_key = {row.instance_id: row for row in map(read_schedule, returned)}
    for c, answer in kept:
        answer.held = _advance(c, by_key[c.key], answer.waiting)


def is_committed(held: ClaimedInstance, events: int) -> bool:
    """Tell, after an error at COMMIT, whether the batch with a plan of so many events was stored: one tells for all."""
    row = Schedule.objects.filter(pk=held.row.instance_id).values_list("lease_epoch", "execution", "position").first()
    if row is None or row[0] != held.row.lease_epoch:
        return False
    return row[1] != held.row.execution or row[2] >= held.row.position + events


def waiting_text(plan: TurnPlan) -> str:
    """Return what the plan says the instance waits for, as its column holds it."""
    return encode_json(plan.waiting)


def gate_of(status: Status, *, is_held_up: bool = False) -> Gate:
    """Return which messages make an instance of that status due.

    `is_held_up`: it is parked before messages that wait for its next try. A parked one for which nothing waits is
    due by whatever comes: it has no next try, and may have a timer of years.
    """
    if status.is_terminal:
        return Gate.CLOSED
    return Gate.HELD if is_held_up or status in (Status.SUSPENDED, Status.PENDING) else Gate.OPEN


def _history_of(c: TurnCommit) -> list[str]:
    if c.plan is None or c.plan.next_execution is not None:
        return []  # a continued execution's history is dropped (CAN-3)
    return [encoding.encode(event) for event in c.plan.events]


def _schedule_of(
    c: TurnCommit, answer: Committed, events: Sequence[str], debt: Owed, now: datetime, until: datetime
) -> sql.Row:
    row, plan, status = c.held.row, c.plan, c.status
    is_live = not status.is_terminal
    is_parked = bool(row.blocked) and is_live and not c.ran_code
    has_work = any(c.share) or answer.waiting.has_news(status)
    answer.is_kept = is_live and (bool(debt) or (c.keep and has_work))
    is_held_up = is_parked and answer.waiting.has_news(status)
    continues = plan is not None and plan.next_execution is not None
    return {
        "instance_id": c.key,
        "due_at": answer.waiting.due_at(status, now) if is_live else None,
        "gate": int(gate_of(status, is_held_up=is_held_up)),
        "lease_owner": row.lease_owner if answer.is_kept else "",
        "lease_until": until if answer.is_kept else None,
        "losses": 0 if c.ran_code else row.losses,
        "execution": c.execution,
        "position": 0 if continues else row.position + len(events),
        "history_size": 0 if continues else row.history_size + sum(map(len, events)),
        "turned_at": plan.now if plan else row.turned_at,
        "waiting": waiting_text(plan) if plan else row.waiting,
        "blocked": row.blocked if is_parked else "",
        "blocked_detail": row.blocked_detail if is_parked else "",
        "owed": owed.write(debt),
        "held_by": row.lease_owner,
        "held_epoch": row.lease_epoch,
        "held_arrivals": row.arrivals,
        "held_execution": row.execution,
        "long_enough": now + (until - now) * 2 / 3 if answer.is_kept else None,
    }


def _facts_of(c: TurnCommit) -> list[sql.Row]:
    """What has changed of the facts: most turns change none."""
    plan, facts = c.plan, c.held.facts
    if plan is None:
        return []
    changed: dict[str, object] = {}
    if plan.status is not facts.status:
        changed["status"] = plan.status.value
    if plan.status_reason is not None:
        changed["status_reason"] = plan.status_reason
    if plan.next_execution is not None and plan.next_version != facts.version:
        changed["version"] = plan.next_version
    if not c.held.has_begun and _begins(plan):
        changed["started_at"] = plan.now
    if plan.is_terminal:
        changed["completed_at"] = plan.now
    return [{"id": c.key, **changed}] if changed else []


def _payload_of(c: TurnCommit) -> list[sql.Row]:
    plan = c.plan
    if plan is None:
        return []
    changed: dict[str, object] = {}
    if plan.is_terminal and (plan.output is not None or plan.failure is not None):
        changed["output"] = plan.output
        changed["failure"] = encode_json(plan.failure.to_members()) if plan.failure else None
    if plan.custom_status_changed:
        changed["custom_status"] = plan.custom_status
    return [{"instance_id": c.key, **changed}] if changed else []


def _begins(plan: TurnPlan) -> bool:
    return any(isinstance(event, ExecutionStarted) for event in plan.events)


def _advance(c: TurnCommit, row: ScheduleRow, inbox: Waiting) -> ClaimedInstance:
    plan, held = c.plan, c.held
    if plan is None:
        return replace(held, row=row, inbox=inbox)
    facts = held.facts
    version = plan.next_version if plan.next_execution is not None else facts.version
    if (plan.status, row.execution, version) != (facts.status, facts.execution_id, facts.version):
        facts = replace(facts, status=plan.status, execution_id=row.execution, version=version)
    return replace(held, row=row, inbox=inbox, facts=facts, has_begun=held.has_begun or _begins(plan))
