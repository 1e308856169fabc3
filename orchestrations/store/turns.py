"""load_turns() and commit_turns(): the transaction that makes turns true.

Its steps are listed in `_commit`, each one statement for all plans of the batch. A plan whose lease or result was lost
is dropped, the others are committed; an instance whose plan was dropped may still be written to like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from orchestrations.engine.plan import TurnPlan
from orchestrations.store import activities, effects, inbox, looks, sql
from orchestrations.store.activities import NewActivity, Result
from orchestrations.store.claims import INSTANCE, ClaimedActivity, ClaimedInstance
from orchestrations.store.effects import Effects
from orchestrations.store.looks import Waiting
from orchestrations.store.models import HistoryEvent as HistoryRow
from orchestrations.store.models import Instance
from orchestrations.store.signals import announce_change, announce_work

HISTORY = HistoryRow._meta.db_table
_HISTORY = sql.Columns(HistoryRow, instance_id="int", execution="text", sequence="int", kind="text", body="text")
_UPDATE = sql.Columns(
    Instance,
    id="int",
    status="text",
    execution="text",
    next_sequence="int",
    turned_at="time",
    due_at="time",
    lease_owner="text",
    lease_until="time",
    waiting="text",
    version="text",
    input="text",
    output="text",
    failure="text",
    custom_status="text",
    status_reason="text",
    completed_at="time",
)
_ASSIGN = """status = v.status, execution = v.execution, next_sequence = v.next_sequence, last_turn_at = v.turned_at,
    due_at = v.due_at, lease_owner = v.lease_owner, lease_until = v.lease_until, waiting = v.waiting,
    version = COALESCE(v.version, t.version), input = COALESCE(v.input, t.input),
    output = COALESCE(v.output, t.output), failure = COALESCE(v.failure, t.failure),
    custom_status = COALESCE(v.custom_status, t.custom_status),
    status_reason = COALESCE(v.status_reason, t.status_reason), completed_at = v.completed_at,
    updated_at = COALESCE(v.turned_at, t.updated_at), started_at = COALESCE(t.started_at, v.turned_at),
    revision = t.revision + 1, lost_turns = 0, blocked = '', blocked_detail = ''"""


@dataclass(slots=True)
class TurnCommit:
    """One plan to commit. `results` are own activities' outcomes that it has consumed, `consumed` its messages' keys.

    `share` says which of its activities the burst keeps, and in which queue each of them runs. With `keep` the lease
    stays while there is something to do. A `plan` of None consumes outdated messages and nothing else.
    """

    held: ClaimedInstance
    plan: TurnPlan | None
    consumed: list[int] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    share: list[bool] = field(default_factory=list)
    keep: bool = True


@dataclass(slots=True)
class Committed:
    """What became of a plan: kept with what is visible now, released, or dropped with results still in hand."""

    is_dropped: bool = False
    is_kept: bool = False
    waiting: Waiting = field(default_factory=Waiting)
    share: list[ClaimedActivity] = field(default_factory=list)
    results_in_hand: list[Result] = field(default_factory=list)


def load_history(held: Sequence[ClaimedInstance]) -> dict[int, list[str]]:
    """Return the present executions' histories as JSON texts, in order, for replay. One statement."""
    condition, values = sql.among("i.id", [h.lease.instance for h in held])
    rows = sql.fetch(
        f"SELECT h.instance_id, h.body FROM {HISTORY} h JOIN {INSTANCE} i"
        f" ON i.id = h.instance_id AND i.execution = h.execution WHERE {condition} ORDER BY h.instance_id, h.sequence",
        values,
    )
    found: dict[int, list[str]] = {h.lease.instance: [] for h in held}
    for instance, body in rows:
        found[instance].append(body)
    return found


def commit_turns(commits: Sequence[TurnCommit], now: datetime, lease_seconds: float) -> list[Committed]:
    """Make the plans true in one transaction, each under its own lease and epoch; one answer for each plan.

    Durable when it returns. Raises what the database raises; then nothing was stored, or, if the answer to COMMIT was
    lost, `is_committed` tells.
    """
    lost: set[int] = set()
    while True:
        try:
            with transaction.atomic():
                return _commit(commits, lost, now, now + timedelta(seconds=lease_seconds))
        except _ResultsLost as error:
            lost |= error.instances


def is_committed(held: ClaimedInstance, history_length: int) -> bool:
    """Tell, after an error at COMMIT, whether the batch with this plan was stored: one plan tells for all."""
    row = (
        Instance.objects.filter(pk=held.lease.instance).values_list("lease_epoch", "execution", "next_sequence").first()
    )
    if row is None or row[0] != held.lease.epoch:
        return False
    return row[1] != held.facts.execution_id or row[2] >= history_length


class _ResultsLost(Exception):
    """Results that these instances' plans have consumed were settled elsewhere: the plans are to be dropped.

    That shows beside the other statements, so it rolls them back; the batch is committed again without those plans,
    and their other results are still in the burst's hands.
    """

    def __init__(self, instances: set[int]) -> None:
        super().__init__()
        self.instances = instances


def _commit(commits: Sequence[TurnCommit], lost: set[int], now: datetime, until: datetime) -> list[Committed]:
    made = Effects(now)
    effects.resolve_sends(commits, made)
    targets = inbox.lock([c.held.lease.instance for c in commits] + effects.target_keys(commits, made))
    answers = [Committed(is_dropped=not _is_ours(c, targets) or c.held.lease.instance in lost) for c in commits]
    for c, a in zip(commits, answers, strict=True):
        a.results_in_hand = c.results if a.is_dropped else []
    kept = [(c, a) for c, a in zip(commits, answers, strict=True) if not a.is_dropped]
    live = [c for c, _ in kept]
    _consume(live)
    effects.make_children(live, made)
    effects.send(live, made, targets)
    effects.withdraw_timers(live)
    found = _exchange(kept, now, until) if kept else {}
    _update(kept, found, until, _history_rows(live))
    effects.clear_ended(live, found)
    _announce(kept, commits, made, targets)
    return answers


def _is_ours(commit: TurnCommit, targets: dict[int, inbox.Target]) -> bool:
    lease = commit.held.lease
    row = targets.get(lease.instance)
    return row is not None and row.lease_owner == lease.owner and row.lease_epoch == lease.epoch


def _exchange(kept: Sequence[tuple[TurnCommit, Committed]], now: datetime, until: datetime) -> dict[int, Waiting]:
    """Remove the own activities whose results were consumed, insert the new ones, and look at the inboxes."""
    commits = [c for c, _ in kept]
    results = [r for c in commits for r in c.results]
    news = _new_activities(commits, until)
    queries = [looks.question([c.held.lease.instance for c in commits], now)]
    queries += [activities.removal(results, commits[0].held.lease.owner)] if results else []
    queries += [activities.insertion(news, now)] if news else []
    answers = iter(sql.gather(queries))
    found = looks.read(next(answers))
    ours = {pk for (pk,) in next(answers)} if results else set()
    if gone := {r.activity.instance for r in results if r.activity.id not in ours}:
        raise _ResultsLost(gone)
    if news:
        _share(kept, activities.claimed(news, next(answers)))
    return found


def _consume(commits: Sequence[TurnCommit]) -> None:
    """Remove exactly the messages that the plans have consumed."""
    keys = [key for c in commits for key in c.consumed]
    if not keys:
        return
    condition, values = sql.among("id", keys)
    count = len(sql.fetch(f"DELETE FROM {looks.INBOX} WHERE {condition} RETURNING id", values))
    if count != len(keys):
        raise RuntimeError(f"{len(keys) - count} of {len(keys)} messages were consumed by somebody else.")


def _history_rows(commits: Sequence[TurnCommit]) -> list[sql.Row]:
    rows: list[sql.Row] = []
    for c in commits:
        if c.plan is None or c.plan.next_execution is not None:
            continue  # a continued execution's history is dropped (CAN-3)
        start = c.held.history_length
        rows += [
            (c.held.lease.instance, c.held.facts.execution_id, start + place, event.kind, effects.encode(event))
            for place, event in enumerate(c.plan.events)
        ]
    return rows


def _new_activities(commits: Sequence[TurnCommit], until: datetime) -> list[NewActivity]:
    news: list[NewActivity] = []
    for c in commits:
        for place, event in enumerate(c.plan.activities if c.plan else ()):
            owner = c.held.lease.owner if c.share[place] else ""
            instance, execution = c.held.lease.instance, c.held.facts.execution_id
            news.append(NewActivity(instance, execution, event, c.queues[place], owner, until if owner else None))
    return news


def _share(kept: Sequence[tuple[TurnCommit, Committed]], claimed: Sequence[ClaimedActivity]) -> None:
    """Give each plan those of its activities that the burst keeps."""
    by_instance: dict[int, list[ClaimedActivity]] = {}
    for activity in claimed:
        by_instance.setdefault(activity.instance, []).append(activity)
    for c, answer in kept:
        answer.share = by_instance.get(c.held.lease.instance, [])
        for activity in answer.share:
            activity.hub, activity.instance_id = c.held.hub, c.held.facts.instance_id


def _update(
    kept: Sequence[tuple[TurnCommit, Committed]], found: dict[int, Waiting], until: datetime, history: list[sql.Row]
) -> None:
    """Write the instances' rows, and their new history with them."""
    rows = []
    for c, answer in kept:
        answer.waiting = found.get(c.held.lease.instance, Waiting())
        status = c.plan.status if c.plan else c.held.facts.status
        is_live = not status.is_terminal
        has_work = bool(answer.share) or answer.waiting.has_visible(status)
        answer.is_kept = c.keep and is_live and has_work
        owner = c.held.lease.owner if answer.is_kept else ""
        due_at = answer.waiting.due_at(status) if is_live else None
        rows.append((c.held.lease.instance, *_columns_of(c), due_at, owner, until if owner else None, *_texts_of(c)))
    if rows:
        sql.update(_UPDATE, _ASSIGN, rows, beside=(_HISTORY, history) if history else None)


def _columns_of(c: TurnCommit) -> tuple[object, ...]:
    plan, facts = c.plan, c.held.facts
    if plan is None:
        return facts.status.value, facts.execution_id, c.held.history_length, c.held.turned_at
    if plan.next_execution is not None:
        return plan.status.value, plan.next_execution, 0, plan.now
    return plan.status.value, facts.execution_id, c.held.history_length + len(plan.events), plan.now


def _texts_of(c: TurnCommit) -> tuple[object, ...]:
    plan = c.plan
    if plan is None:
        return (c.held.waiting, *[None] * 7)
    failure = effects.encode_json(plan.failure.to_members()) if plan.failure else None
    next_input = None
    if plan.next_messages:
        next_input = getattr(plan.next_messages[0], "input", None) or "null"
    return (
        waiting_text(plan),
        plan.next_version,
        next_input,
        plan.output,
        failure,
        plan.custom_status if plan.custom_status_changed else None,
        plan.status_reason,
        plan.now if plan.is_terminal else None,
    )


def _announce(
    kept: Sequence[tuple[TurnCommit, Committed]],
    commits: Sequence[TurnCommit],
    made: Effects,
    targets: dict[int, inbox.Target],
) -> None:
    """Wake the queues of what was written or locked and is left due and nobody's; tell the pages what has changed."""
    own = {c.held.lease.instance for c, _ in kept}
    others = {key: t for key, t in targets.items() if key not in own}
    inbox.wake_for(made.messages, others)
    told = {m.instance for m in made.messages}
    for key, target in others.items():
        if key not in told and target.due_at is not None and not target.lease_owner:
            announce_work(target.queue, target.due_at)
    for queue, count in made.open_children.items():
        announce_work(queue, items=count)
    for c, answer in kept:
        status = c.plan.status if c.plan else c.held.facts.status
        due_at = None if status.is_terminal else answer.waiting.due_at(status)
        if not answer.is_kept and due_at is not None:
            announce_work(c.held.queue, due_at)
        announce_change(c.held.hub, c.held.facts.instance_id, c.held.revision + 1)
    for queue, count in effects.open_activities(c for c, _ in kept).items():
        announce_work(queue, items=count)


def waiting_text(plan: TurnPlan) -> str:
    """Return what the plan says the instance waits for, as its column holds it."""
    return effects.encode_json(plan.waiting)
