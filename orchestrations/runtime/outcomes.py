"""What became of an attempt of an activity, as the event that is recorded, whatever its code returned or raised.

Nothing here asks the database: an outcome must not be lost because it is away, and it may be made in an event loop.
"""

from __future__ import annotations

from typing import Any

from orchestrations.engine import payloads
from orchestrations.engine.events import TaskCompleted, TaskFailed
from orchestrations.engine.failures import FailureDetails, cut
from orchestrations.errors import ActivityTimeoutError, LeftoverError, PayloadError
from orchestrations.store import clock
from orchestrations.store.claimed import ClaimedActivity

LOST = "WorkerLost"
REASON_LIMIT = 8 * 1024

Outcome = TaskCompleted | TaskFailed


def completed(activity: ClaimedActivity, value: Any, limits: payloads.Limits) -> Outcome:
    """Return the outcome of a call that returned `value`; a failure, not to be retried, if that is no JSON."""
    try:
        text = payloads.dump(value, f"The result of {activity.name}", limits)
    except PayloadError as error:
        details = FailureDetails.from_exception(error)
        facts = {"code": error.code}
        return failed(activity, FailureDetails(details.error_type, details.message, "", None, facts, True))
    except BaseException as error:  # code of the value's class: its __repr__, its iterator
        return raised(activity, error)
    return TaskCompleted(
        timestamp=clock.estimate(), task_scheduled_id=activity.sequence, result=text, attempt=_attempt(activity)
    )


def raised(activity: ClaimedActivity, error: BaseException) -> TaskFailed:
    """Return the outcome of a call that raised."""
    return failed(activity, FailureDetails.from_exception(error))


def lost(activity: ClaimedActivity, text: str) -> TaskFailed:
    """Return the outcome of an attempt that is given up because workers were lost with it."""
    return failed(activity, FailureDetails(LOST, text, is_non_retriable=False))


def timed_out(activity: ClaimedActivity, seconds: float) -> TaskFailed:
    """Return the outcome of an attempt that lasted longer than it may (ACT-3)."""
    return raised(activity, ActivityTimeoutError(activity.name, seconds))


def left_behind(activity: ClaimedActivity, leftovers: list[str]) -> TaskFailed:
    """Return the outcome of a call that returned, but left its worker in another state than it had found it in."""
    return raised(activity, LeftoverError(f"Activity '{activity.name}'", leftovers))


def failed(activity: ClaimedActivity, details: FailureDetails) -> TaskFailed:
    """Return a failure."""
    return TaskFailed(
        timestamp=clock.estimate(),
        task_scheduled_id=activity.sequence,
        reason=cut(details.message, REASON_LIMIT),
        failure_details=details,
        attempt=_attempt(activity),
    )


def _attempt(activity: ClaimedActivity) -> int | None:
    return activity.attempt if activity.attempt > 1 else None
