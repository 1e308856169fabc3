"""What is logged: one function, names in one place, facts as fields. Payloads and keys never are."""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("orchestrations")

TURN_DROPPED = "turn.dropped"
EVENT_UNDELIVERED = "event.undelivered"
RESULT_REFUSED = "result.refused"
BATCH_SPLIT = "batch.split"
BODY_REPLAYED = "body.replayed"
INSTANCE_PARKED = "instance.parked"
COMMIT_UNKNOWN = "commit.unknown"
ACTIVITY_DEFERRED = "activity.deferred"
ACTIVITY_LOST = "activity.lost"
WAKE_FAILED = "wake.failed"
CHECK_FAILED = "check.failed"
HINT_REFUSED = "hint.refused"
WORKER_STARTED = "worker.started"
WORKER_ENDED = "worker.ended"
WORKER_KILLED = "worker.killed"
HANDED_BACK = "lease.handed_back"
SWEEP_FAILED = "sweep.failed"
DATABASE_FAILED = "database.failed"
LOCK_WAITED = "database.lock_waited"
BURST_FAILED = "burst.failed"
LEFT_BEHIND = "code.leftovers"
ACTIVITY_UNRECORDED = "activity.unrecorded"
TASK_EXITED = "task.exited"
ACTIVITY_TIMED_OUT = "activity.timed_out"
QUEUE_FAILED = "queue.failed"
QUEUE_HEALED = "queue.healed"


def report(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Log an event by name, with its facts as `durable.<fact>` fields and in the text."""
    if not logger.isEnabledFor(level):
        return
    text = " ".join([event, *(f"{name}={value}" for name, value in facts.items())])
    if error is not None:
        text += f" error={type(error).__name__}: {error}"
    logger.log(level, text, extra={f"durable.{name}": value for name, value in facts.items()})
