"""The commit of turns: the transaction that makes plans true. Its order is its specification:

    lock → check → debts of what ends → what goes away → what comes → one look → late orders go → update

Each arrow is there for a reason, and has a test.

- *lock before check*: who has the lease is known only under the lock. (SQLite's transaction is the lock; a batch that
  writes to nobody else is checked by its last update, which is one statement less.)
- *check before what goes*: a plan whose lease was lost changes nothing, and its batch-mates commit.
- *debts before what goes*: an activity that an ended execution's lease owes is read from the history, which may go.
- *what goes before what comes*: an ended execution's messages are gone before the look, so that none is handed on; an
  instance that is replaced has left its id.
- *children before messages*: what a turn starts can be written to in the same turn (EVT-6).
- *messages in the order of the code, the outcome last*: a parent hears all that its child has sent before its end.
- *what comes before the look*: a turn's own messages and those of batch-mates are seen by it.
- *look after lock*: who delivers must have had the lock, so what the look does not see finds our row as we leave it.
- *look before late orders go*: management that has come since the turn, to what ends by it, has nobody to take it.
- *update last*: `due_at` and the lease say what the look has found.

A plan whose lease, message or result was lost is dropped, the others are committed; an instance whose plan was dropped
may still be written to like any other. Plans that touch nobody else take the `fast_path`, where this is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from orchestrations.store import (
    activities,
    advance,
    children,
    conditions,
    endings,
    fast_path,
    inbox,
    looks,
    outbox,
    owed,
    recipients,
    shares,
    sql,
)
from orchestrations.store.batch import Committed, Pair, PlansLost, TurnCommit, announce
from orchestrations.store.inbox import NewMessage, Target
from orchestrations.store.looks import Question, Waiting
from orchestrations.store.owed import Debt
from orchestrations.store.recipients import Recipients


def commit_turns(commits: Sequence[TurnCommit], now: datetime, lease_seconds: float) -> list[Committed]:
    """Make the plans true at once, each under its own lease and epoch; one answer for each plan.

    Durable when it returns; it refuses to be called in a transaction. Raises what the database raises; then nothing was
    stored, or, if the answer to COMMIT was lost, `advance.is_committed` tells.
    """
    until = now + timedelta(seconds=lease_seconds)
    shares.draw(commits, until)
    if (answers := fast_path.commit(commits, now, until)) is not None:
        return answers
    lost: set[int] = set()
    while True:
        try:
            with transaction.atomic(durable=True):
                return _commit(commits, lost, now, until)
        except PlansLost as error:
            lost |= error.instances


def _commit(commits: Sequence[TurnCommit], lost: set[int], now: datetime, until: datetime) -> list[Committed]:
    to = recipients.lock(commits)
    answers = [Committed(is_dropped=c.key in lost or not _is_ours(c, to.targets)) for c in commits]
    for c, answer in zip(commits, answers, strict=True):
        answer.results_in_hand = c.results if answer.is_dropped else []
    kept = [(c, a) for c, a in zip(commits, answers, strict=True) if not a.is_dropped]
    live = [c for c, _ in kept]
    messages: list[NewMessage] = []
    if live:
        _hand_over(live, now, until)
        _remove(live)
        messages = _create(kept, to, now)
        found = _look(kept, now, until)
        if late := endings.late_orders(live, found):
            late.alone()
        advance.write(kept, found, now, until)
    _announce(kept, messages, to, now)
    return answers


def _is_ours(commit: TurnCommit, targets: dict[int, Target]) -> bool:
    row = commit.held.row
    target = targets.get(row.instance_id)
    held = (row.lease_owner, row.lease_epoch, row.execution)
    return target is not None and (target.lease_owner, target.lease_epoch, target.execution) == held


def _hand_over(commits: Sequence[TurnCommit], now: datetime, until: datetime) -> None:
    """What the lease of an ended execution still owes becomes rows, which stay ours; its history may go."""
    debts = [
        Debt(c.key, c.held.row.execution, c.held.row.queue, c.still_owed, c.held.row.lease_owner, until)
        for c in commits
        if c.ends and c.still_owed
    ]
    if debts:
        owed.make_rows(debts, now)


def _remove(commits: Sequence[TurnCommit]) -> None:
    """What goes away: consumed messages, withdrawn timers, and what ended executions leave."""
    consumed = {key: c.key for c in commits for key in c.consumed}
    queries = [*_consumption(consumed), *_withdrawal(commits, consumed), *endings.steps(commits)]
    if not queries:
        return
    answers = sql.gather(queries)
    gone = {key for (key,) in answers[0]} if consumed else set()
    if missing := consumed.keys() - gone:
        raise PlansLost({consumed[key] for key in missing})


def _consumption(consumed: Mapping[int, int]) -> list[sql.Query]:
    if not consumed:
        return []
    condition, values = conditions.among("id", list(consumed))
    return [sql.query(f"DELETE FROM {inbox.INBOX} WHERE {condition} RETURNING id", values)]


def _withdrawal(commits: Sequence[TurnCommit], consumed: Mapping[int, int]) -> list[sql.Query]:
    """The messages of cancelled timers, but for those that have fired in this very turn and are counted as consumed."""
    timers = [
        (c.key, outbox.timer_sender(c.held.facts.execution_id), number)
        for c in commits
        if c.plan
        for number in c.plan.withdrawn_timers
    ]
    if not timers:
        return []
    condition, values = conditions.among_rows("instance_id, sender, sender_sequence", timers, ("int", "text", "int"))
    if consumed:
        taken, keys = conditions.among("id", list(consumed))
        condition, values = f"{condition} AND NOT {taken}", [*values, *keys]
    return [sql.query(f"DELETE FROM {inbox.INBOX} WHERE {condition} RETURNING id", values)]


def _create(kept: Sequence[Pair], to: Recipients, now: datetime) -> list[NewMessage]:
    """What comes: children, then all messages of the batch in one statement; `due_at` of those that are not ours."""
    commits = [c for c, _ in kept]
    refusals = children.create(commits, to)
    to.advance(commits)
    messages = [m for m in refusals if to.targets[m.instance].takes(m.execution)]  # who ends in this turn hears nothing
    for c, answer in kept:
        if c.plan is not None:
            messages += outbox.messages_of(c, to, answer.undelivered)
    if messages:
        inbox.insert_messages(messages)
        own = {c.key for c in commits}
        if foreign := [m for m in messages if m.instance not in own]:
            inbox.note_arrivals(foreign, now)
    return messages


def _look(kept: Sequence[Pair], now: datetime, until: datetime) -> dict[int, Waiting]:
    """Look at the inboxes; in the same statement own activities whose results were consumed go, and new ones come."""
    commits = [c for c, _ in kept]
    results = [r for c in commits for r in c.row_results]
    news = shares.rows(commits)
    queries = [looks.question([_question(c) for c in commits], now)]
    queries += [activities.removal(results, commits[0].held.row.lease_owner)] if results else []
    queries += [activities.insertion(news, now)] if news else []
    answers = iter(sql.gather(queries))
    found = looks.read(next(answers))
    ours = {pk for (pk,) in next(answers)} if results else set()
    if gone := {r.activity.instance for r in results if r.activity.id not in ours}:
        raise PlansLost(gone)
    shares.give(kept)
    return found


def _question(c: TurnCommit) -> Question:
    is_first = c.plan is not None and c.plan.next_execution is not None
    return Question(c.key, c.status, is_first)


def _announce(kept: Sequence[Pair], messages: Sequence[NewMessage], to: Recipients, now: datetime) -> None:
    """Wake the queues of what was written or locked and is left due and nobody's; tell the pages what has changed."""
    own = {c.key for c, _ in kept}
    inbox.wake_for(
        [m for m in messages if m.instance not in own], [t for t in to.targets.values() if t.id not in own], now
    )
    announce(kept, now)
