"""What is committed together: plans of turns on the way in, and what became of each on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from orchestrations.engine.plan import TurnPlan
from orchestrations.engine.state import Status
from orchestrations.store import owed
from orchestrations.store.activities import NewActivity, Result
from orchestrations.store.claimed import ClaimedActivity, ClaimedInstance
from orchestrations.store.looks import Waiting
from orchestrations.store.owed import Place
from orchestrations.store.signals import announce_change, announce_work


class Share(IntEnum):
    """Who is to have an activity: others may claim it; the burst keeps it, leased as a row; or it keeps it for itself,
    and the lease of its instance owes it."""

    OPEN = 0
    LEASED = 1
    OWED = 2


@dataclass(slots=True)
class TurnCommit:
    """One plan to commit. `results` are own activities' outcomes that it has consumed, `consumed` its messages' keys.

    `share` says who is to have each of its activities, `queues` in which queue it runs. With `keep` the lease
    stays while there is something to do. A `plan` of None consumes outdated messages and nothing else. `ran_code` is
    False where management alone was done, which does not show that a parked instance can move: its mark stays.
    """

    held: ClaimedInstance
    plan: TurnPlan | None
    consumed: list[int] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    share: list[Share] = field(default_factory=list)
    keep: bool = True
    ran_code: bool = True
    key: int = field(init=False)
    """The instance's key."""
    news: list[NewActivity] = field(init=False, default_factory=list)
    """Its activities with their ids, once they are drawn."""
    _owed: dict[int, Place] = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.held.row.instance_id
        self._owed = owed.read(self.held.row.owed)

    @property
    def row_results(self) -> list[Result]:
        """The results of activities that are rows."""
        return [result for result in self.results if result.activity.id not in self._owed]

    @property
    def still_owed(self) -> dict[int, Place]:
        """What the lease owes without those whose results the plan has."""
        taken = {result.activity.id for result in self.results}
        return {key: place for key, place in self._owed.items() if key not in taken}

    @property
    def ends(self) -> bool:
        """True if the execution ends by the plan: with it the lease goes, or what its numbers mean."""
        return self.plan is not None and (self.plan.is_terminal or self.plan.next_execution is not None)

    @property
    def status(self) -> Status:
        """The instance's status after the commit."""
        return self.plan.status if self.plan else self.held.facts.status

    @property
    def execution(self) -> str:
        """The execution after the commit."""
        return (self.plan.next_execution if self.plan else None) or self.held.facts.execution_id


@dataclass(slots=True)
class Committed:
    """What became of a plan: kept with what is visible now, released, or dropped with results still in hand.

    `held` is the instance as its row is now. `undelivered` names the receivers of events that took none (EVT-6).
    """

    is_dropped: bool = False
    is_kept: bool = False
    held: ClaimedInstance | None = None
    waiting: Waiting = field(default_factory=Waiting)
    share: list[ClaimedActivity] = field(default_factory=list)
    results_in_hand: list[Result] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)


Pair = tuple[TurnCommit, Committed]


def announce(kept: Sequence[Pair], now: datetime) -> None:
    """Wake, after COMMIT, the queues of what the plans leave due and nobody's; tell the pages what has changed."""
    counts: dict[str, int] = {}
    own = {c.held.row.queue for c, _ in kept}
    for c, answer in kept:
        due_at = None if c.status.is_terminal else answer.waiting.due_at(c.status, now)
        if not answer.is_kept and due_at is not None:
            announce_work(c.held.row.queue, due_at)
        if answer.held is not None:
            announce_change(c.held.hub, c.held.facts.instance_id, answer.held.row.revision)
        for queue, is_own in zip(c.queues, c.share, strict=True):
            if not is_own:
                counts[queue] = counts.get(queue, 0) + 1
    for queue, count in counts.items():
        announce_work(queue, items=count, is_surplus=queue in own)


class PlansLost(Exception):
    """These instances' leases, or what their plans have consumed, are somebody else's: the plans are to be dropped.

    That shows only as the rows are written, so the transaction is rolled back and begun again without those plans;
    their other results are still in the burst's hands.
    """

    def __init__(self, instances: set[int]) -> None:
        super().__init__()
        self.instances = instances
