"""What happens at the end of an execution, however it ends: one list of named steps.

An execution ends when its instance completes, fails, is terminated or continues as new. (An instance that is replaced
or purged goes as a whole: `instances.remove`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrations.engine.state import Status
from orchestrations.store import conditions, sql
from orchestrations.store.activities import ACTIVITY
from orchestrations.store.batch import TurnCommit
from orchestrations.store.histories import HISTORY
from orchestrations.store.inbox import INBOX
from orchestrations.store.looks import Waiting

Step = Callable[[Sequence[TurnCommit]], sql.Query | None]


def steps(commits: Sequence[TurnCommit]) -> list[sql.Query]:
    """Return the statements of all steps, for the plans that end an execution."""
    ended = [c for c in commits if c.plan and (c.plan.is_terminal or c.plan.next_execution)]
    found = [step(ended) for step in STEPS] if ended else []
    return [query for query in found if query is not None]


def withdraw_messages(ended: Sequence[TurnCommit]) -> sql.Query | None:
    """Remove the executions' timers and late outcomes. External events that nobody took stay (EVT-7, CAN-2)."""
    seen = [c for c in ended if c.plan and c.plan.leaves_open]
    if not seen:
        return None
    keys = [(c.key, c.held.facts.execution_id) for c in seen]
    condition, values = conditions.among_rows("instance_id, execution", keys, ("int", "text"))
    consumed = [key for c in seen for key in c.consumed]
    if consumed:  # their rows are counted where they are consumed
        taken, keys_taken = conditions.among("id", consumed)
        condition, values = f"{condition} AND NOT {taken}", [*values, *keys_taken]
    return sql.query(f"DELETE FROM {INBOX} WHERE {condition} AND NOT is_control RETURNING id", values)


def withdraw_activities(ended: Sequence[TurnCommit]) -> sql.Query | None:
    """Remove what a terminated execution has not begun (MGT-2). After any other end it is carried out (ORC-6)."""
    terminated = [c.key for c in ended if c.status is Status.TERMINATED and c.held.row.position]
    if not terminated:
        return None
    condition, values = conditions.among("instance_id", terminated)
    return sql.query(f"DELETE FROM {ACTIVITY} WHERE {condition} AND lease_until IS NULL RETURNING id", values)


def drop_history(ended: Sequence[TurnCommit]) -> sql.Query | None:
    """Remove the history of an execution that goes on under a new one (CAN-3)."""
    continued = [c.key for c in ended if c.plan and c.plan.next_execution and c.held.row.position]
    if not continued:
        return None
    condition, values = conditions.among("instance_id", continued)
    return sql.query(f"DELETE FROM {HISTORY} WHERE {condition} RETURNING sequence", values)


def late_orders(commits: Sequence[TurnCommit], found: Mapping[int, Waiting]) -> sql.Query | None:
    """Remove the orders of management that have reached what ends by the commit: nobody takes them any more.

    One may bear an instant after the look's, whose clock was read before the lock was waited for.
    """
    ended = [c.key for c in commits if c.status.is_terminal and c.key in found]
    late = [key for key in ended if found[key].later or any(message.is_control for message in found[key].messages)]
    if not late:
        return None
    condition, values = conditions.among("instance_id", late)
    return sql.query(f"DELETE FROM {INBOX} WHERE {condition} AND is_control RETURNING id", values)


STEPS: tuple[Step, ...] = (withdraw_messages, withdraw_activities, drop_history)
