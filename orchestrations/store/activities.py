"""Activities: open rows that workers poll; settled once, by compare-and-set on owner and epoch, and then gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from orchestrations.engine.events import TaskCompleted, TaskFailed, TaskScheduled
from orchestrations.engine.state import Status
from orchestrations.store import clock, conditions, guarded, inbox, instances, sql
from orchestrations.store.claimed import ClaimedActivity
from orchestrations.store.guarded import Write
from orchestrations.store.inbox import NewMessage
from orchestrations.store.models import ActivityTask
from orchestrations.store.signals import announce_change, announce_work

ACTIVITY = ActivityTask._meta.db_table
_ACTIVITIES = sql.Columns(
    ActivityTask,
    id="int",
    instance_id="int",
    execution="text",
    sequence="int",
    attempt="int",
    name="text",
    input="text",
    size="int",
    queue="text",
    priority="int",
    created_at="time",
    due_at="time",
    lease_owner="text",
    lease_until="time",
    lease_epoch="int",
    losses="int",
    blocked="text",
)


@dataclass(slots=True)
class NewActivity:
    """An attempt that is asked for. With `until` it is leased as it is made, its first delivery recorded: by `owner`,
    whose own share it is."""

    id: int
    instance: int
    execution: str
    event: TaskScheduled
    queue: str
    owner: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an attempt that we hold."""

    activity: ClaimedActivity
    event: TaskCompleted | TaskFailed


def insert(news: Sequence[NewActivity], now: datetime) -> None:
    """Insert the attempts."""
    if news:
        sql.insert(_ACTIVITIES, [_row_of(new, now) for new in news])


def insertion(news: Sequence[NewActivity], now: datetime) -> sql.Query:
    """Return the statement that inserts the attempts."""
    return sql.insertion(_ACTIVITIES, [_row_of(new, now) for new in news], "id")


def guarded_insertion(news: Sequence[NewActivity], now: datetime) -> Write:
    """Return the same as one of several guarded writes."""
    return guarded.insert(_ACTIVITIES, [_row_of(new, now) for new in news])


def _row_of(new: NewActivity, now: datetime) -> sql.Row:
    return {
        "id": new.id,
        "instance_id": new.instance,
        "execution": new.execution,
        "sequence": new.event.event_id,
        "attempt": new.event.attempt or 1,
        "name": new.event.name,
        "input": new.event.input,
        "size": len(new.event.input or ""),
        "queue": new.queue,
        "priority": 0,
        "created_at": now,
        "due_at": now,
        "lease_owner": new.owner,
        "lease_until": new.until,
        "lease_epoch": 1 if new.until else 0,
        "losses": 0,
        "blocked": "",
    }


def claimed(new: NewActivity, hub: str, instance_id: str) -> ClaimedActivity:
    """Return the attempt as its owner has claimed it; the instance is known by that id in that hub."""
    event = new.event
    return ClaimedActivity(
        id=new.id,
        epoch=1,
        instance=new.instance,
        execution=new.execution,
        sequence=event.event_id,
        attempt=event.attempt or 1,
        name=event.name,
        input=event.input,
        queue=new.queue,
        hub=hub,
        instance_id=instance_id,
    )


def removal(results: Sequence[Result], owner: str, *, in_order: bool = False) -> sql.Query:
    """Return the statement that removes the rows of results that are still ours, and returns their keys.

    Those that it does not return were settled or taken elsewhere. With their instances locked before, as in a commit,
    nobody else locks several of them; `in_order` is for those whose instances are another's.
    """
    condition, values = _held([r.activity for r in results], owner, in_order=in_order)
    return sql.query(f"DELETE FROM {ACTIVITY} WHERE {condition} RETURNING id", values)


def guarded_removal(results: Sequence[Result], owner: str) -> Write:
    """Return the same as one of several guarded writes: all of them must still be ours."""
    return guarded.delete(ACTIVITY, *_held([r.activity for r in results], owner, in_order=False), len(results))


def settle(results: Sequence[Result], owner: str) -> int:
    """Record the outcomes of attempts whose instances are not in our hands: one commit for all of them.

    Durable when it returns: each outcome that was still ours is a message to its instance, exactly once; the others
    are dropped. Returns how many counted. It refuses to be called in a transaction.
    """
    now = clock.now()
    with transaction.atomic(durable=True):
        targets = inbox.lock([r.activity.instance for r in results])
        ours = {pk for (pk,) in removal(results, owner, in_order=True).alone()}
        taken = [
            message_of(r)
            for r in results
            if r.activity.id in ours
            and (target := targets.get(r.activity.instance)) is not None
            and target.takes(r.activity.execution)
        ]
        inbox.send(taken, targets, now)
    return len(ours)


def message_of(result: Result) -> NewMessage:
    """Return an attempt's outcome as a message to its instance."""
    a = result.activity
    return NewMessage(a.instance, result.event, f"task/{a.execution}/{a.attempt}", a.sequence, a.execution)


def put_back(activities: Sequence[ClaimedActivity], owner: str) -> None:
    """Give back attempts that were not begun; this delivery does not count. Their queues are woken."""
    if not activities:
        return
    with transaction.atomic():
        condition, values = _held(activities, owner)
        count = sql.run(f"UPDATE {ACTIVITY} SET lease_owner = '', lease_until = NULL WHERE {condition}", values)
        if count:
            for queue in {a.queue for a in activities}:
                announce_work(queue, items=count)


def begin_once(activity: ClaimedActivity, owner: str, now: datetime) -> bool | None:
    """Record that the code of an attempt that may run at most once begins now. Durable when it returns.

    True: it may run. False: it had begun before, in the hands of a worker that was lost. None: it is not ours.
    """
    mine = "id = %s AND lease_owner = %s AND lease_epoch = %s"
    key = [activity.id, owner, activity.epoch]
    if sql.run(f"UPDATE {ACTIVITY} SET begun_at = %s WHERE {mine} AND begun_at IS NULL", [now, *key]):
        return True
    return False if sql.fetch(f"SELECT id FROM {ACTIVITY} WHERE {mine}", key) else None


def find_held(key: int, owner: str) -> ClaimedActivity | None:
    """Return the attempt that `owner` holds under that key, without its input; None if the owner has it no more."""
    names = "id, lease_epoch, instance_id, execution, sequence, attempt, name, queue, losses"
    rows = sql.fetch(f"SELECT {names} FROM {ACTIVITY} WHERE id = %s AND lease_owner = %s", [key, owner])
    if not rows:
        return None
    pk, epoch, instance, execution, sequence, attempt, name, queue, lost = rows[0]
    return ClaimedActivity(pk, epoch, instance, execution, sequence, attempt, name, None, queue, lost)


def block(activity: ClaimedActivity, owner: str) -> None:
    """Put aside an attempt that no living worker can run, until one comes that can (TSK-8); its instance shows it.

    An attempt of an instance that was terminated, or is gone, is removed. Durable when it returns.
    """
    with transaction.atomic(durable=True):
        target = inbox.lock([activity.instance]).get(activity.instance)
        condition, values = _held([activity], owner)
        if target is None or (not target.is_live and instances.status_of(target.id) is Status.TERMINATED):
            sql.run(f"DELETE FROM {ACTIVITY} WHERE {condition}", values)
            return
        changes = "lease_owner = '', lease_until = NULL, blocked = 'missing-function'"
        if sql.run(f"UPDATE {ACTIVITY} SET {changes} WHERE {condition}", values):
            rows = sql.fetch(
                f"UPDATE {inbox.SCHEDULE} SET revision = revision + 1 WHERE instance_id = %s RETURNING revision",
                [activity.instance],
            )
            announce_change(activity.hub, activity.instance_id, rows[0][0])


def _held(activities: Sequence[ClaimedActivity], owner: str, *, in_order: bool = True) -> tuple[str, list[Any]]:
    """Return a condition for those that are still the owner's; `in_order` it locks them by id, as everybody does."""
    condition, values = conditions.among_rows("id, lease_epoch", [(a.id, a.epoch) for a in activities], ("int", "int"))
    condition = f"{condition} AND lease_owner = %s"
    if in_order and sql.is_postgres():
        condition = conditions.chosen("id", f"SELECT id FROM {ACTIVITY} WHERE {condition} ORDER BY id FOR UPDATE")
    return condition, [*values, owner]
