"""The cache of bodies: used at exactly the point where it was left, closed otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrations.engine.state import InstanceFacts, Status
from orchestrations.engine.turn import Turn
from orchestrations.runtime.live_bodies import LiveBodies
from orchestrations.store.claimed import ClaimedInstance, ScheduleRow


def claimed(key: int = 1, *, epoch: int = 1, execution: str = "e1") -> ClaimedInstance:
    facts = InstanceFacts(instance_id=f"i{key}", name="f", execution_id=execution, status=Status.RUNNING)
    row = ScheduleRow(
        instance_id=key,
        queue="main.default",
        lease_owner="w",
        lease_epoch=epoch,
        losses=0,
        arrivals=0,
        execution=execution,
        position=4,
        history_size=400,
        revision=1,
        turned_at=None,
        waiting="[]",
        blocked="",
        blocked_detail="",
        owed="",
    )
    return ClaimedInstance(row, facts, hub="main", hub_id=1, depth=0, parent=None, parent_execution="", has_begun=True)


def body() -> Turn:
    return Turn(lambda turn: iter(()))


def test_a_body_is_given_to_the_very_next_claim_once() -> None:
    bodies, turn = LiveBodies(10), body()
    bodies.put(claimed(), turn)
    assert bodies.take(claimed(epoch=2)) is turn
    assert bodies.take(claimed(epoch=2)) is None


@pytest.mark.parametrize(
    "held",
    [claimed(epoch=3), claimed(epoch=1), claimed(epoch=2, execution="e2")],
    ids=["another holder between", "the same claim", "another execution"],
)
def test_a_body_that_has_fallen_behind_is_closed_and_not_used(held: ClaimedInstance) -> None:
    bodies, turn = LiveBodies(10), body()
    bodies.put(claimed(), turn)
    assert bodies.take(held) is None
    assert turn.is_sealed
    assert bodies.take(claimed(epoch=2)) is None


def test_the_oldest_body_goes_first_and_is_closed() -> None:
    bodies = LiveBodies(2)
    turns = [body() for _ in range(3)]
    for key, turn in enumerate(turns):
        bodies.put(claimed(key), turn)
    assert [turn.is_sealed for turn in turns] == [True, False, False]
    assert bodies.take(replace(claimed(2, epoch=2))) is turns[2]


def test_a_cache_of_no_size_closes_what_it_is_given() -> None:
    turn = body()
    LiveBodies(0).put(claimed(), turn)
    assert turn.is_sealed


def test_clearing_closes_all() -> None:
    bodies, turn = LiveBodies(2), body()
    bodies.put(claimed(), turn)
    bodies.clear()
    assert turn.is_sealed
