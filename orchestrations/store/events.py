"""External events: how those that come from outside reach their instances, one or thousands, each at most once."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.db import transaction

from orchestrations.conf import conf
from orchestrations.engine.events import EventRaised
from orchestrations.errors import DurableError, LimitExceededError
from orchestrations.store import clock, codec, conditions, hubs, inbox, instances, retry, sql
from orchestrations.store.guarded import GO
from orchestrations.store.inbox import INBOX, SCHEDULE, NewMessage, Target
from orchestrations.store.instances import INSTANCE
from orchestrations.store.models import EventReceipt, Gate, InboxMessage
from orchestrations.store.signals import announce_work

RECEIPT = EventReceipt._meta.db_table
_MESSAGES = sql.Columns(InboxMessage, **{name: inbox.MESSAGES.types[name] for name in inbox.MESSAGES.names[1:]})
_RECEIPTS = sql.Columns(
    EventReceipt, instance_id="int", event_id="text", event_name="text", accepted_at="time", expires_at="time"
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to accept; `data` is JSON text. With an `event_id` it is accepted once, however often it is sent."""

    instance_id: str
    name: str
    data: str | None
    event_id: str | None = None


def accept(hub: str, events: Sequence[NewEvent]) -> list[bool]:
    """Store the events for their instances, in this order, and wake the queues: all of them, or none and an error.

    Durable when it returns, or with the caller's open transaction, which a database error ends like any other. The
    answers tell of each whether it is new: False for an event id that was accepted before, also if its instance has
    ended since. They bear the instant of the call. On PostgreSQL one statement as a rule; a constant number in any
    case. Raises `InstanceNotFoundError`, else `WrongStatusError` (`instance.terminal`), else `LimitExceededError`
    (`inbox.full`), for the first instance of which that is true. Those who send at once to one instance may pass its
    limit by as many events as each of them sends.
    """
    news = [_New(one, f"client/{uuid.uuid4().hex}") for one in events]
    return retry.after_conflicts(lambda: _accept(hub, news))


def _accept(hub: str, news: Sequence[_New]) -> list[bool]:
    if sql.is_postgres() and (answers := _accept_at_once(hub, news)) is not None:
        return answers
    targets: dict[str, Target] = {}
    try:
        with transaction.atomic():
            targets.update(inbox.lock_all_named(hub, [one.asked.instance_id for one in news]))
            return _accept_locked(news, targets)
    except DurableError:  # a claim may have skipped what was locked
        inbox.wake_for([], [target for target in targets.values() if target.is_live], clock.now())
        raise


@dataclass(frozen=True, slots=True)
class _New:
    """An event on its way, and the sender that tells it from all others."""

    asked: NewEvent
    sender: str

    @property
    def pair(self) -> tuple[str, str | None]:
        """What tells it from other events, if it has an id."""
        return self.asked.instance_id, self.asked.event_id

    def message_to(self, instance: int, now: datetime) -> NewMessage:
        """Return it as a message."""
        event = EventRaised(timestamp=now, name=self.asked.name, input=self.asked.data)
        return NewMessage(instance, event, self.sender)

    def receipt_for(self, instance: int, now: datetime) -> sql.Row:
        """Return the row that remembers its id."""
        return {
            "instance_id": instance,
            "event_id": self.asked.event_id,
            "event_name": self.asked.name,
            "accepted_at": now,
            "expires_at": now + timedelta(seconds=conf.RECEIPT_SECONDS),
        }


def _accept_locked(news: Sequence[_New], targets: Mapping[str, Target]) -> list[bool]:
    """The whole way, behind the locks, so that it can say what is wrong."""
    found = [(one, instances.check_known(one.asked.instance_id, targets)) for one in news]
    now = clock.now()
    repeated = _repeated([(one, target) for one, target in found if not target.is_live])
    for one, target in found:
        if not target.is_live and (target.id, one.asked.event_id) not in repeated:
            instances.refuse_ended(one.asked.instance_id, target, "event")
    live = [(one, target) for one, target in found if target.is_live]
    receipts = [one.receipt_for(target.id, now) for one, target in live if one.asked.event_id is not None]
    fresh = set(_store_receipts(receipts))
    answers = [target.is_live and _is_new(one, target.id, fresh) for one, target in found]
    messages = [one.message_to(t.id, now) for (one, t), is_new in zip(found, answers, strict=True) if is_new]
    _check_room(Counter(message.instance for message in messages))
    inbox.send(messages, {target.id: target for _, target in live}, now)
    return answers


def _repeated(ended: Sequence[tuple[_New, Target]]) -> set[tuple[int, str | None]]:
    """Of events to instances that have ended, those that were accepted before."""
    pairs = [(target.id, one.asked.event_id) for one, target in ended if one.asked.event_id is not None]
    if not pairs:
        return set()
    condition, values = conditions.among_rows("instance_id, event_id", pairs, ("int", "text"))
    rows = sql.fetch(f"SELECT instance_id, event_id FROM {RECEIPT} WHERE {condition}", values)
    return {(key, event_id) for key, event_id in rows}


def _store_receipts(rows: Sequence[sql.Row]) -> list[tuple[int, str]]:
    """Note that events with these ids are accepted; return which had not been before (EVT-5)."""
    if not rows:
        return []
    found = sql.insert(_RECEIPTS, rows, suffix="ON CONFLICT DO NOTHING", returning="instance_id, event_id")
    return [(key, event_id) for key, event_id in found]


def _is_new(one: _New, instance: int, fresh: set[tuple[int, str]]) -> bool:
    """Tell whether the event is new. Of two with one id among those that are sent together the first is."""
    if one.asked.event_id is None:
        return True
    pair = instance, one.asked.event_id
    is_new = pair in fresh
    fresh.discard(pair)
    return is_new


def _check_room(sent: Mapping[int, int]) -> None:
    limit = conf.INBOX_MESSAGES
    waiting = inbox.count_waiting(list(sent), limit) if sent else {}
    for instance, count in sent.items():
        if (size := waiting[instance]) + count > limit:
            sent_too = f" and {count} are sent" if count > 1 else ""
            advice = "Wait until they are consumed" if count <= limit else "Send fewer at once"
            text = f"The number of waiting messages is {size}{sent_too}, the limit is {limit}. {advice}."
            raise LimitExceededError(text, code="inbox.full", size=size, limit=limit)


def _accept_at_once(hub: str, news: Sequence[_New]) -> list[bool] | None:
    """Accept the events by one statement, or return None: something is not as it must be, and nothing is stored.

    It locks the instances before it draws the messages' ids, and looks at what their locks protect and nothing else.
    """
    key, ids = hubs.find_key(hub), [one.pair for one in news if one.asked.event_id is not None]
    sent: dict[str, list[sql.Row]] = {}
    now, limit = clock.now(), conf.INBOX_MESSAGES
    for place, one in enumerate(news):
        sent.setdefault(one.asked.instance_id, []).append(_row_of(place, one, now))
    if key is None or len(set(ids)) < len(ids) or not codec.is_storable("".join(sent)):
        return None
    text = json.dumps([{"called": called, "events": rows} for called, rows in sent.items()], ensure_ascii=False)
    until = now + timedelta(seconds=conf.RECEIPT_SECONDS)
    alone = list(sent) if len(sent) == 1 else []
    values = [text, key, *alone, limit, limit, len(sent), now, until, now]
    with transaction.mark_for_rollback_on_error():
        found = sql.fetch(_statement(is_alone=bool(alone)), values)
    for queue, count in Counter(queue for queue, owner, _ in found if queue and not owner).items():
        announce_work(queue, now, items=count)
    taken = {sender for _, _, sender in found}
    return [one.sender in taken for one in news] if found else None


def _row_of(place: int, one: _New, now: datetime) -> sql.Row:
    message = inbox.row_of(one.message_to(0, now))
    return {"place": place, "event_id": one.asked.event_id, "event_name": one.asked.name, **message}


@cache
def _statement(*, is_alone: bool) -> str:
    """Return PostgreSQL's statement, which finds one instance by its id itself, whatever it knows of the table.

    What belongs to an instance comes with it, so that nothing has to be joined by its id again: where there are no
    statistics, that would be a walk through all for each. The rows name queue and lease of each instance, then the
    senders of what was stored.
    """
    chosen = "%s" if is_alone else "v.called"
    waiting = f"SELECT 1 FROM {INBOX} w WHERE w.instance_id = found.instance_id AND w.not_before IS NULL LIMIT %s"
    events = (
        "found CROSS JOIN LATERAL json_to_recordset(found.events) AS"
        f" e(place bigint, event_id text, event_name text, {_MESSAGES.declared})"
    )
    columns = ", ".join(_MESSAGES.names)
    return (
        "WITH v AS (SELECT called, events FROM json_to_recordset(%s) AS rows(called text, events json)),"
        " found AS MATERIALIZED (SELECT s.instance_id, s.gate, s.queue, s.lease_owner, v.events"
        f" FROM v JOIN {INSTANCE} i ON i.hub_id = %s AND i.instance_id = {chosen}"
        f" JOIN {SCHEDULE} s ON s.instance_id = i.id ORDER BY s.instance_id FOR NO KEY UPDATE OF s),"
        f" fit AS (SELECT 1 FROM found WHERE gate <> {Gate.CLOSED}"
        f" AND (SELECT count(*) FROM ({waiting}) AS waiting) + json_array_length(events) <= %s),"
        " go AS MATERIALIZED (SELECT (SELECT count(*) FROM fit) = %s AS yes),"
        f" receipts AS (INSERT INTO {RECEIPT} ({', '.join(_RECEIPTS.names)})"
        f" SELECT found.instance_id, e.event_id, e.event_name, %s, %s FROM {events}"
        f" WHERE e.event_id IS NOT NULL AND {GO} ON CONFLICT DO NOTHING RETURNING instance_id, event_id),"
        f" messages AS (INSERT INTO {INBOX} (instance_id, {columns})"
        f" SELECT found.instance_id, {columns} FROM {events} WHERE {GO} AND"
        " (e.event_id IS NULL OR (found.instance_id, e.event_id) IN (SELECT instance_id, event_id FROM receipts))"
        " ORDER BY e.place RETURNING instance_id, sender),"
        f" arrived AS (UPDATE {SCHEDULE} AS t SET {inbox.ARRIVE}"
        " FROM (SELECT CAST(%s AS timestamptz) AS due_at, FALSE AS is_control) AS v"
        " WHERE t.instance_id = ANY(ARRAY(SELECT instance_id FROM messages)))"
        f" SELECT queue, lease_owner, NULL AS sender FROM found WHERE {GO}"
        " UNION ALL SELECT '', '', sender FROM messages"
    )
