"""The steps of a burst, one at a time, so that a test can put something between any two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from orchestrations.client.client import DurableClient
from orchestrations.conf import default_queue
from orchestrations.engine.events import TaskCompleted
from orchestrations.runtime.turns import Held, run_turn
from orchestrations.store import claims, clock, fast_path, histories, sql
from orchestrations.store import commit as commits_of_store
from orchestrations.store.activities import Result
from orchestrations.store.batch import Committed, Share, TurnCommit
from orchestrations.store.claimed import ClaimedActivity, ClaimedInstance
from orchestrations.store.claims import Claim, ClaimLimits
from orchestrations.store.inbox import INBOX
from orchestrations.store.models import Instance, Schedule
from tests.histories import append
from tests.store.concurrency import SECONDS, beside, held_beside, wait_until_blocked

LEASE_SECONDS = 30.0
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def claim(owner: str, *, instances: int = 1000, activities: int = 1000, seconds: float = LEASE_SECONDS) -> Claim:
    """Claim what is due."""
    return claims.claim(default_queue(), owner, ClaimLimits(instances, activities, seconds), clock.now())


def hold(found: Sequence[ClaimedInstance], results: Sequence[Result] = ()) -> list[Held]:
    """Load the histories of claimed instances."""
    texts = histories.load(list(found))
    held = [Held(one, history=texts[one.row.instance_id]) for one in found]
    for one in held:
        one.results = [r for r in results if r.activity.instance == one.key]
    return held


def plan(held: Sequence[Held], *, share: int = Share.OWED, keep: bool = True) -> list[TurnCommit]:
    """Run the turns; `share` says who is to have their activities."""
    commits = []
    for one in held:
        commit, left = run_turn(one, clock.now())
        assert not left
        commit.share, commit.keep = [Share(share)] * len(commit.queues), keep
        one.drop_body()
        commits.append(commit)
    return commits


def commit(commits: Sequence[TurnCommit], *, seconds: float = LEASE_SECONDS) -> list[Committed]:
    """Commit the turns."""
    return commits_of_store.commit_turns(commits, clock.now(), seconds)


def commit_the_whole_way(commits: Sequence[TurnCommit]) -> list[Committed]:
    """Commit the turns by lock and look, though they may touch nobody else."""
    with patch.object(fast_path, "commit", return_value=None):
        return commit(commits)


@dataclass(frozen=True, slots=True)
class HeldCommit:
    """A commit that has locked its rows and is not stored yet, and how many connections wait for others because of it.

    `finish` lets it be stored, and returns its answers.
    """

    finish: Callable[[], list[Committed]]
    waiters: int = 0


@contextmanager
def held_commit(commits: Sequence[TurnCommit], *, is_fast: bool) -> Iterator[HeldCommit]:
    """Commit the turns on another connection, and stop there.

    The fast path of PostgreSQL is one statement: it has locked the instances when it waits for a message of theirs.
    """
    if not is_fast or not sql.is_postgres():
        with held_beside(lambda: (commit if is_fast else commit_the_whole_way)(commits)) as finish:
            yield HeldCommit(finish)
        return
    keys = [key for one in commits for key in one.consumed]
    with held_beside(lambda: sql.fetch(f"SELECT 1 FROM {INBOX} WHERE id = ANY(%s) FOR UPDATE", [keys])) as let_go:
        future = beside(lambda: commit(commits))
        wait_until_blocked(future)

        def finish_statement() -> list[Committed]:
            let_go()
            return future.result(SECONDS)

        yield HeldCommit(finish_statement, waiters=1)


def turn(owner: str, *, share: int = Share.OWED, keep: bool = True) -> list[Committed]:
    """Claim, load, turn and commit."""
    return commit(plan(hold(claim(owner, activities=0).instances), share=share, keep=keep))


def result_of(activity: ClaimedActivity, value: str = "1") -> Result:
    """Return a good outcome of the attempt."""
    return Result(activity, TaskCompleted(timestamp=clock.now(), task_scheduled_id=activity.sequence, result=value))


def collide(commit: TurnCommit) -> None:
    """Store what the plan's events collide with: the database refuses it."""
    row = commit.held.row
    append(row.instance_id, row.execution, row.position, [{"EventType": "GenericEvent"}])


def start(name: str = "wait_for", client_input: Any = ("a",), **options: Any) -> int:
    """Start an instance and return its key."""
    value = list(client_input) if isinstance(client_input, tuple) else client_input
    return row_of(DurableClient().start_new(name, client_input=value, **options)).pk


def row_of(instance_id: str) -> Instance:
    """Return the instance's row."""
    return Instance.objects.get(instance_id=instance_id)


def schedule_of(instance_id: str) -> Schedule:
    """Return the instance's schedule."""
    return Schedule.objects.get(instance__instance_id=instance_id)
