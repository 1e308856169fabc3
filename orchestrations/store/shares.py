"""The activities that plans schedule: who is to have them, and what of them are rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrations.engine.events import TaskScheduled
from orchestrations.store import activities
from orchestrations.store.activities import NewActivity
from orchestrations.store.batch import Pair, Share, TurnCommit
from orchestrations.store.models.activities import new_id
from orchestrations.store.owed import Place


def draw(commits: Sequence[TurnCommit], until: datetime) -> None:
    """Give each activity that the plans schedule its id, the same however often a commit is tried; those that the burst
    keeps are leased until then."""
    for c in commits:
        execution, owner = c.held.facts.execution_id, c.held.row.lease_owner
        drawn = [new.id for new in c.news] or [new_id() for _ in c.queues]
        c.news = []
        for pk, event, queue, share in zip(drawn, c.plan.activities if c.plan else (), c.queues, c.share, strict=True):
            lease = (owner, until) if share else ("", None)
            c.news.append(NewActivity(pk, c.key, execution, event, queue, *lease))


def rows(commits: Sequence[TurnCommit]) -> list[NewActivity]:
    """Return those that are rows: what others may claim, and what the leases do not owe."""
    return [new for c in commits for place, new in enumerate(c.news) if not is_owed(c, place)]


def is_owed(c: TurnCommit, place: int) -> bool:
    """Tell whether the lease of the instance owes that activity: its burst keeps it, and the execution goes on."""
    return c.share[place] is Share.OWED and not c.ends


def places(c: TurnCommit, parts: Sequence[tuple[int, int]]) -> dict[int, Place]:
    """Return where in the history the activities are that the lease owes anew; `parts` are those that are written, each
    by its key and the number of its events."""
    if not any(is_owed(c, place) for place in range(len(c.news))):
        return {}
    assert c.plan is not None
    where = [Place(part, offset) for part, count in parts for offset in range(count)]
    scheduled = [at for event, at in zip(c.plan.events, where, strict=True) if isinstance(event, TaskScheduled)]
    return {new.id: at for place, (new, at) in enumerate(zip(c.news, scheduled, strict=True)) if is_owed(c, place)}


def give(kept: Sequence[Pair]) -> None:
    """Give each burst those of its plans' activities that it keeps."""
    for c, answer in kept:
        hub, instance_id = c.held.hub, c.held.facts.instance_id
        answer.share = [activities.claimed(new, hub, instance_id) for new in c.news if new.owner]
