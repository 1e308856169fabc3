"""The fast path of a commit: turns that touch nobody else are one compare-and-set, without a lock and a look before it.

Whoever delivers to an instance counts that in `arrivals`, under the lock of its row. So where owner, epoch and arrivals
are still those of the last look at its inbox, the inbox is what was seen then, less what the plan takes. (Who leases an
instance looks after he has read the count, so he may know more than it says, which is a miss, but never less.) All else
hangs on that: consumed messages, results, new activities, history. A miss writes nothing, and the commit goes its whole
way, which finds out what has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrations.engine.plan import TurnPlan
from orchestrations.engine.state import Status
from orchestrations.store import activities, advance, conditions, guarded, inbox, looks, outbox, shares
from orchestrations.store.activities import Result
from orchestrations.store.batch import Committed, TurnCommit, announce
from orchestrations.store.guarded import Write
from orchestrations.store.looks import Waiting

_BEFORE = (Status.PENDING, Status.RUNNING)
_AFTER = (Status.RUNNING, Status.COMPLETED, Status.FAILED)
_UNSEEN = " AND t.arrivals = v.held_arrivals"


def commit(commits: Sequence[TurnCommit], now: datetime, until: datetime) -> list[Committed] | None:
    """Make all the plans true, and return an answer for each; or None where that is not the way: nothing is written.

    Durable when it returns. Raises what the database raises.
    """
    if not all(_is_simple(c, now) for c in commits):
        return None
    kept = [(c, Committed(waiting=_left_by(c))) for c in commits]
    rows = advance.rows_of(kept, now, until)
    where = advance.OURS + _UNSEEN
    writes = [guarded.update(advance.SCHEDULES, advance.ASSIGN, rows.schedules, where, advance.returning())]
    writes += _removals(commits)
    writes += [guarded.change(one) for one in rows.beside()]
    timers = [inbox.row_of(message) for c in commits for message in outbox.timers_of(c)]
    if timers:
        writes.append(guarded.insert(inbox.MESSAGES, timers, suffix="ON CONFLICT DO NOTHING"))
    if news := shares.rows(commits):
        writes.append(activities.guarded_insertion(news, now))
    answers = guarded.write(writes)
    if answers is None:
        return None
    shares.give(kept)
    advance.follow(kept, answers[0])
    announce(kept, now)
    return [answer for _, answer in kept]


def _is_simple(c: TurnCommit, now: datetime) -> bool:
    """Tell whether the plan can be committed without a lock and a look: it touches nobody else, takes nothing away but
    what it consumes, and what will wait for its instance is known."""
    plan, held = c.plan, c.held
    if plan is None or held.inbox is None or not c.ran_code or held.row.blocked or _reaches_out(c, plan):
        return False
    if held.facts.status not in _BEFORE or plan.status not in _AFTER:
        return False
    if plan.is_terminal and (plan.leaves_open or held.inbox.later or c.still_owed):
        return False
    instants = [timer.fire_at for timer in plan.timers]
    instants += [held.inbox.later] if held.inbox.later else []
    return looks.is_whole(held.inbox, held.facts.status, held.row.position) and all(at > now for at in instants)


def _reaches_out(c: TurnCommit, plan: TurnPlan) -> bool:
    tells_parent = plan.outcome is not None and c.held.parent is not None
    ends_execution = plan.next_execution is not None or plan.ends_children is not None
    return bool(plan.children or plan.sends or plan.withdrawn_timers or tells_parent or ends_execution)


def _left_by(c: TurnCommit) -> Waiting:
    """What waits for the instance after the commit."""
    assert c.held.inbox is not None
    assert c.plan is not None
    used = set(c.consumed)
    instants = [message.not_before for message in outbox.timers_of(c) if message.not_before]
    instants += [c.held.inbox.later] if c.held.inbox.later else []
    return Waiting(
        [message for message in c.held.inbox.messages if message.id not in used], min(instants, default=None)
    )


def _removals(commits: Sequence[TurnCommit]) -> list[Write]:
    """The messages and results that the plans take: each must be there still."""
    found: list[Write] = []
    consumed = [key for c in commits for key in c.consumed]
    if consumed:
        condition, values = conditions.among("id", consumed)
        found.append(guarded.delete(inbox.INBOX, condition, values, len(consumed)))
    results: list[Result] = [result for c in commits for result in c.row_results]
    if results:
        found.append(activities.guarded_removal(results, commits[0].held.row.lease_owner))
    return found
