"""Commit a batch of turns through database errors: again, then plan by plan, then park the one that poisons."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.store import advance, clock, commit, leases, retry
from orchestrations.store.batch import Committed, TurnCommit

TRIES = 5


def commit_safely(
    commits: Sequence[TurnCommit], now: datetime, fingerprint: str, in_hand: Collection[int] = ()
) -> list[Committed] | None:
    """Commit the plans; one answer for each, or None if it is not known what of them is stored, or will be.

    Turns are pure, so after a serialization failure, a deadlock or a broken connection the same plans are tried again.
    After any other error, and where somebody else keeps a row locked, they are tried one by one: the plan that the
    database refuses parks its instance, the one that finds its row locked is dropped, to be turned again later.

    A try whose connection broke may be stored after all, and later: its statement can wait in the database, which does
    not notice that nobody listens. So what a later try drops is asked for once more, and one that finds its row locked
    is not dropped: the lock may be the broken one's.
    """
    has_broken = False
    for number in range(TRIES):
        try:
            answers = commit.commit_turns(commits, now, conf.LEASE_SECONDS)
        except (OperationalError, InterfaceError) as error:
            telemetry.report(telemetry.BATCH_SPLIT, level=logging.WARNING, error=error, tries=number + 1)
            _drop_broken_connection()
            if _are_stored(commits):
                return None
            if retry.is_lock_wait(error) or not retry.is_transient(error):
                break
            has_broken |= not retry.is_conflict(error)
            clock.sleep(random.random() * 0.05 * 2**number)
        except DatabaseError as error:
            telemetry.report(telemetry.BATCH_SPLIT, level=logging.WARNING, error=error, plans=len(commits))
            break
        else:
            return answers if number == 0 else _believe(commits, answers)
    alone = [_commit_alone(one, now, fingerprint, in_hand, has_broken=has_broken) for one in commits]
    known = [answer for answer in alone if answer is not None]
    return _believe(commits, known) if len(known) == len(alone) else None


def _believe(commits: Sequence[TurnCommit], answers: list[Committed]) -> list[Committed] | None:
    """Return the answers of a later try, None if it has dropped a plan because an earlier one was stored meanwhile.

    The drop was decided under the instance's lock, and so after whatever the earlier try has stored; or by an error
    that left nothing, where no earlier one is in doubt.
    """
    dropped = [one for one, answer in zip(commits, answers, strict=True) if answer.is_dropped]
    return None if dropped and _are_stored(dropped) else answers


def _drop_broken_connection() -> None:
    """Close it if it broke: the next statement opens it anew. Django may have done both, so this tells nothing."""
    if not connection.is_usable():
        connection.close()


def _are_stored(commits: Sequence[TurnCommit]) -> bool:
    """Tell whether a commit that raised was stored all the same: the answer to COMMIT may be what was lost.

    One plan that is stored tells for all; one that is not tells nothing, for its lease may have been lost.
    """
    plans = [(one.held, len(one.plan.events)) for one in commits if one.plan and one.plan.events]
    if not any(advance.is_committed(held, events) for held, events in plans):
        return False
    telemetry.report(telemetry.COMMIT_UNKNOWN, level=logging.WARNING, plans=len(commits))
    return True


def _commit_alone(
    one: TurnCommit, now: datetime, fingerprint: str, in_hand: Collection[int], *, has_broken: bool
) -> Committed | None:
    dropped = Committed(is_dropped=True, results_in_hand=one.results)
    try:
        return commit.commit_turns([one], now, conf.LEASE_SECONDS)[0]
    except DatabaseError as error:
        _drop_broken_connection()
        if _are_stored([one]):
            return None
        if retry.is_transient(error):
            telemetry.report(telemetry.BATCH_SPLIT, level=logging.WARNING, error=error, plans=1)
            has_left_nothing = retry.is_lock_wait(error) or retry.is_conflict(error)
            return dropped if has_left_nothing and not has_broken else None
        message = f"What the turn decided cannot be stored ({type(error).__name__}: {error})."
        leases.park(one.held, leases.Mark("payload", message, fingerprint), now, in_hand)
        return dropped
