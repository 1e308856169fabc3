"""The activities that a batch of plans schedules: those that the burst keeps are its own share, the others are open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orchestrations.store.activities import NewActivity
from orchestrations.store.batch import Pair, TurnCommit
from orchestrations.store.claimed import ClaimedActivity


def new_activities(commits: Sequence[TurnCommit], until: datetime) -> list[NewActivity]:
    """Return the attempts to insert; the burst's own are leased until then."""
    news: list[NewActivity] = []
    for c in commits:
        for place, event in enumerate(c.plan.activities if c.plan else ()):
            owner = c.held.row.lease_owner if c.share[place] else ""
            execution = c.held.facts.execution_id
            news.append(NewActivity(c.key, execution, event, c.queues[place], owner, until if owner else None))
    return news


def give(kept: Sequence[Pair], claimed: Sequence[ClaimedActivity]) -> None:
    """Give each plan those of its activities that the burst keeps."""
    by_instance: dict[int, list[ClaimedActivity]] = {}
    for activity in claimed:
        by_instance.setdefault(activity.instance, []).append(activity)
    for c, answer in kept:
        answer.share = by_instance.get(c.key, [])
        for activity in answer.share:
            activity.hub, activity.instance_id = c.held.hub, c.held.facts.instance_id
