"""Commit a batch of turns through database errors: again, then plan by plan, then park the one that poisons."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.store import clock, leases, turns
from orchestrations.store.turns import Committed, TurnCommit

TRIES = 5


def commit_safely(commits: Sequence[TurnCommit], now: datetime, fingerprint: str) -> list[Committed] | None:
    """Commit the plans; one answer for each, or None if they were stored but the answer was lost.

    Turns are pure, so after a serialization failure or a deadlock the same plans are tried again. Another error is
    one plan's: they are tried one by one, and the plan that fails alone parks its instance.
    """
    for number in range(TRIES):
        try:
            return turns.commit_turns(commits, now, conf.LEASE_SECONDS)
        except (OperationalError, InterfaceError) as error:
            telemetry.report(telemetry.BATCH_SPLIT, level=logging.WARNING, error=error, tries=number + 1)
            _drop_broken_connection()
            if any(_is_stored(commit) for commit in commits):
                telemetry.report(telemetry.COMMIT_UNKNOWN, level=logging.WARNING, plans=len(commits))
                return None
            clock.sleep(random.random() * 0.05 * 2**number)
        except DatabaseError as error:
            telemetry.report(telemetry.BATCH_SPLIT, level=logging.WARNING, error=error, plans=len(commits))
            break
    return [_commit_alone(commit, now, fingerprint) for commit in commits]


def _drop_broken_connection() -> None:
    """Close it if it broke: the next statement opens it anew. Django may have done both, so this tells nothing."""
    if not connection.is_usable():
        connection.close()


def _is_stored(commit: TurnCommit) -> bool:
    events = len(commit.plan.events) if commit.plan else 0
    return events > 0 and turns.is_committed(commit.held, commit.held.history_length + events)


def _commit_alone(commit: TurnCommit, now: datetime, fingerprint: str) -> Committed:
    try:
        return turns.commit_turns([commit], now, conf.LEASE_SECONDS)[0]
    except DatabaseError as error:
        message = f"What the turn decided cannot be stored ({type(error).__name__}: {error})."
        leases.park(commit.held, "payload", message, fingerprint, now)
        return Committed(is_dropped=True, results_in_hand=commit.results)
