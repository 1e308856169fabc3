"""Planted bugs, switched on by flags that exist only here, and how soon the simulation must find each of them."""

from __future__ import annotations

from enum import StrEnum


class Mutant(StrEnum):
    """What is broken on purpose."""

    NO_EPOCH = "commits and settlements are not fenced by owner and epoch"
    NO_UNIQUE = "history takes two events under one number"
    NO_DEDUP = "an event that is sent again is stored again"
    NO_SWEEPER = "nobody looks for work that is due and nobody's"
    SPLIT_COMMIT = "history and what it sends are two transactions"
    EARLY_DISPATCH = "activities are handed out before the turn is committed"
    EARLY_TIMER = "a worker goes by its own clock, which is ahead"
    EARLY_ACK = "messages are removed when they are loaded"
    ONE_EVENT = "a name's buffer holds one event"
    CLAIM_CLEARS_DUE = "the claim clears due_at"
    STALE_LOOK = "the commit takes due_at from what was loaded, not from a look under the lock"
    LOST_PLANS = "a batch applies plans whose lease was lost, if one of its plans is still good"
    BLIND_SETTLE = "results are settled without a look at the activity's lease"
    STALE_BODY = "a live body is used although somebody else has turned the instance"
    FIRST_TELLS = "after a lost answer to COMMIT the first plan tells for its batch, though its lease was lost"
    FOREIGN_RESULT = "a burst gives the result of an ended execution to the one that continues it"
    LATE_RESULT = "a result reaches an execution that has ended"


BUDGETS: dict[tuple[Mutant, ...], int] = {
    (Mutant.NO_EPOCH, Mutant.NO_UNIQUE): 30,
    (Mutant.NO_EPOCH,): 70,
    (Mutant.NO_DEDUP,): 60,
    (Mutant.NO_SWEEPER,): 50,
    (Mutant.SPLIT_COMMIT,): 260,
    (Mutant.EARLY_DISPATCH,): 30,
    (Mutant.EARLY_TIMER,): 640,
    (Mutant.EARLY_ACK,): 20,
    (Mutant.ONE_EVENT,): 210,
    (Mutant.CLAIM_CLEARS_DUE,): 5,
    (Mutant.STALE_LOOK,): 20,
    (Mutant.LOST_PLANS,): 860,
    (Mutant.BLIND_SETTLE,): 75,
    (Mutant.STALE_BODY,): 120,
    (Mutant.FIRST_TELLS,): 1300,
    (Mutant.LATE_RESULT,): 60,
    (Mutant.FOREIGN_RESULT,): 450,
}
"""Within so many seeds each is found: three times what finds it in 99.9 % of all sequences of seeds, as measured."""
