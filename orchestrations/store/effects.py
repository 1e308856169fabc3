"""What a committed turn sends beyond its own row: timers, outcomes, events, children; and what it clears away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrations.engine import payloads
from orchestrations.engine.encoding import encode
from orchestrations.engine.events import (
    EventRaised,
    ExecutionTerminated,
    ParentInstance,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TimerFired,
)
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceExistsError, LimitExceededError
from orchestrations.store import inbox, instances, sql
from orchestrations.store.instances import NewInstance
from orchestrations.store.looks import INBOX, Waiting
from orchestrations.store.models import ActivityTask, HistoryEvent, Instance
from orchestrations.store.signals import announce_change

if TYPE_CHECKING:
    from orchestrations.store.turns import TurnCommit

__all__ = ["Effects", "encode", "encode_json"]

ACTIVITY, HISTORY = ActivityTask._meta.db_table, HistoryEvent._meta.db_table
DEPTH_LIMIT = 32
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
"""The instant of what begins the next execution: before anything that has reached the instance meanwhile."""

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(slots=True)
class Effects:
    """What one commit sends. `receivers`: (hub, instance id) → key of those that events are sent to."""

    now: datetime
    receivers: dict[tuple[int, str], int] = field(default_factory=dict)
    children_to_end: dict[int, list[int]] = field(default_factory=dict)
    messages: list[inbox.Message] = field(default_factory=list)
    open_children: dict[str, int] = field(default_factory=dict)


def resolve_sends(commits: Sequence[TurnCommit], made: Effects) -> None:
    """Find the keys of the instances that the plans write to by id, and of the children that a termination ends."""
    wanted = {(c.held.hub_id, e.instance_id) for c in commits if c.plan for e in c.plan.sends}
    if wanted:
        condition, values = sql.among_pairs("hub_id, instance_id", sorted(wanted), ("int", "text"))
        rows = sql.fetch(f"SELECT hub_id, instance_id, id FROM {Instance._meta.db_table} WHERE {condition}", values)
        made.receivers = {(hub, name): key for hub, name, key in rows}
    ending = [c.held.lease.instance for c in commits if c.plan and c.plan.ends_children is not None]
    if ending:
        condition, values = sql.among("parent_id", ending)
        rows = sql.fetch(
            f"SELECT parent_id, id FROM {Instance._meta.db_table}"
            f" WHERE {condition} AND status IN ('Pending', 'Running', 'Suspended')",
            values,
        )
        for parent, child in rows:
            made.children_to_end.setdefault(parent, []).append(child)


def target_keys(commits: Sequence[TurnCommit], made: Effects) -> list[int]:
    """Return the keys of all instances that the plans write to besides their own, to be locked with them."""
    parents = [c.held.parent for c in commits if c.plan and c.plan.outcome and c.held.parent]
    children = [key for keys in made.children_to_end.values() for key in keys]
    return [*parents, *made.receivers.values(), *children]


def make_children(commits: Sequence[TurnCommit], made: Effects) -> None:
    """Create the plans' sub-orchestrations. An id that a live instance has fails the task (SUB-2)."""
    wanted = [(c, event) for c in commits if c.plan for event in c.plan.children]
    if not wanted:
        return
    shallow = [(c, e) for c, e in wanted if c.held.depth < DEPTH_LIMIT]
    made.messages += [_refused(c, e, _too_deep()) for c, e in wanted if c.held.depth >= DEPTH_LIMIT]
    news = {(c.held.hub_id, e.instance_id): (c, e, _new_child(c, e)) for c, e in shallow}
    created = instances.insert_all([new for _, _, new in news.values()]) if news else {}
    started = []
    for c, event, new in news.values():
        key = created.get(new.instance_id)
        if key is not None:
            started.append((key, new))
            made.open_children[new.queue] = made.open_children.get(new.queue, 0) + 1
        else:
            _replace_child(c, event, new, made)
    made.messages += instances.start_messages(started)
    for _, new in started:
        announce_change(instances.hub_of(new.hub_id), new.instance_id, 1)


def send(commits: Sequence[TurnCommit], made: Effects, targets: dict[int, inbox.Target]) -> None:
    """Insert all messages of the batch in one statement, and lower the `due_at` of those that are not ours."""
    own = {c.held.lease.instance for c in commits}
    for c in commits:
        if c.plan is not None:
            made.messages += _own_messages(c)
            made.messages += _outgoing(c, made, targets)
    if not made.messages:
        return
    inbox.insert_messages(made.messages)
    foreign = [m for m in made.messages if m.instance not in own and m.instance in targets]
    if foreign:
        inbox.lower_due(foreign)


def withdraw_timers(commits: Sequence[TurnCommit]) -> None:
    """Remove the messages of timers that were cancelled."""
    keys = [
        (c.held.lease.instance, _timer_key(c.held.facts.execution_id, sequence, 1))
        for c in commits
        if c.plan
        for sequence in c.plan.withdrawn_timers
    ]
    if keys:
        condition, values = sql.among_pairs("instance_id, dedup_key", keys, ("int", "text"))
        sql.run(f"DELETE FROM {INBOX} WHERE {condition}", values)


def clear_ended(commits: Sequence[TurnCommit], found: dict[int, Waiting]) -> None:
    """Remove what an ended execution has left: its timers and late outcomes, and its activities if it was terminated.

    External events that nobody took stay, so that people can see them (EVT-7).
    """
    ended = [c for c in commits if c.plan and (c.plan.is_terminal or c.plan.next_execution)]
    left = [(c.held.lease.instance, c.held.facts.execution_id) for c in ended if c.held.lease.instance in found]
    if left:
        condition, values = sql.among_pairs("instance_id, execution", left, ("int", "text"))
        sql.run(f"DELETE FROM {INBOX} WHERE {condition} AND NOT is_control", values)
    terminated = [c.held.lease.instance for c in ended if c.plan and c.plan.status is Status.TERMINATED]
    if terminated:
        condition, values = sql.among("instance_id", terminated)
        sql.run(f"DELETE FROM {ACTIVITY} WHERE {condition} AND lease_owner = ''", values)
    continued = [c.held.lease.instance for c in ended if c.plan and c.plan.next_execution and c.held.history_length]
    if continued:
        condition, values = sql.among("instance_id", continued)
        sql.run(f"DELETE FROM {HISTORY} WHERE {condition}", values)


def open_activities(commits: Iterable[TurnCommit]) -> dict[str, int]:
    """Return queue → number of activities that the plans leave to anybody."""
    counts: dict[str, int] = {}
    for c in commits:
        for queue, kept in zip(c.queues, c.share, strict=True):
            if not kept:
                counts[queue] = counts.get(queue, 0) + 1
    return counts


def _own_messages(c: TurnCommit) -> list[inbox.Message]:
    assert c.plan is not None
    pk, execution = c.held.lease.instance, c.held.facts.execution_id
    withdrawn = set(c.plan.withdrawn_timers)
    found = []
    for t in c.plan.timers:
        if t.event_id in withdrawn and t.origin != "retry":
            continue
        fired = TimerFired(timestamp=t.fire_at, timer_id=t.event_id, fire_at=t.fire_at, attempt=t.attempt)
        key = _timer_key(execution, t.event_id, t.attempt or 1)
        found.append(inbox.Message(pk, fired, t.fire_at, key, execution))
    for place, event in enumerate(c.plan.next_messages):
        key = f"next/{c.plan.next_execution}/{place}"
        scope = "" if isinstance(event, EventRaised) else c.plan.next_execution or ""
        found.append(inbox.Message(pk, event, FIRST, key, scope))
    return found


def _outgoing(c: TurnCommit, made: Effects, targets: dict[int, inbox.Target]) -> list[inbox.Message]:
    assert c.plan is not None
    pk, execution, now, found = c.held.lease.instance, c.held.facts.execution_id, c.plan.now, []
    parent = targets.get(c.held.parent) if c.held.parent else None
    if c.plan.outcome is not None and parent is not None and parent.takes(c.held.parent_execution):
        attempt = c.plan.outcome.attempt or 1
        key = f"child/{c.held.parent_execution}/{c.plan.outcome.task_scheduled_id}/{attempt}"
        found.append(inbox.Message(parent.id, c.plan.outcome, now, key, parent.execution))
    for event in c.plan.sends:
        receiver = targets.get(made.receivers.get((c.held.hub_id, event.instance_id), 0))
        if receiver is not None and receiver.takes(""):
            raised = EventRaised(timestamp=now, name=event.name, input=event.input)
            found.append(inbox.Message(receiver.id, raised, now, f"sent/{pk}/{execution}/{event.event_id}"))
    for child in made.children_to_end.get(pk, ()):
        reason = payloads.dump(c.plan.ends_children)
        ended = ExecutionTerminated(timestamp=now, input=reason)
        found.append(inbox.Message(child, ended, now, f"terminate/{pk}/{execution}"))
    return [m for m in found if m.instance in targets and targets[m.instance].takes(m.execution)]


def _new_child(c: TurnCommit, event: SubOrchestrationInstanceCreated) -> NewInstance:
    parent = ParentInstance(
        name=c.held.facts.name,
        instance_id=c.held.facts.instance_id,
        execution_id=c.held.facts.execution_id,
        task_schedule_id=event.event_id,
        attempt=event.attempt or 1,
    )
    return NewInstance(
        hub_id=c.held.hub_id,
        instance_id=event.instance_id,
        name=event.name,
        queue=c.held.queue,
        created_at=event.timestamp,
        version=event.version,
        input=event.input,
        parent_pk=c.held.lease.instance,
        parent=parent,
        depth=c.held.depth + 1,
    )


def _replace_child(c: TurnCommit, event: SubOrchestrationInstanceCreated, new: NewInstance, made: Effects) -> None:
    """The id is taken: an ended instance is replaced, a live one fails the task."""
    try:
        instances.create(new, instances.REPLACE_TERMINAL)
    except InstanceExistsError as error:
        made.messages.append(_refused(c, event, error))


def _refused(c: TurnCommit, event: SubOrchestrationInstanceCreated, error: Exception) -> inbox.Message:
    details = FailureDetails.from_exception(error)
    details = FailureDetails(details.error_type, details.message, is_non_retriable=True)
    attempt = event.attempt or 1
    failed = SubOrchestrationInstanceFailed(
        timestamp=event.timestamp,
        task_scheduled_id=event.event_id,
        reason=details.message,
        failure_details=details,
        attempt=event.attempt,
    )
    key = f"child/{c.held.facts.execution_id}/{event.event_id}/{attempt}"
    return inbox.Message(c.held.lease.instance, failed, event.timestamp, key, c.held.facts.execution_id)


def _too_deep() -> Exception:
    text = f"The depth of sub-orchestrations is {DEPTH_LIMIT + 1}, the limit is {DEPTH_LIMIT}. Use continue_as_new."
    return LimitExceededError(text, code="limit.depth", size=DEPTH_LIMIT + 1, limit=DEPTH_LIMIT)


def _timer_key(execution: str, sequence: int, attempt: int) -> str:
    return f"timer/{execution}/{sequence}/{attempt}"
