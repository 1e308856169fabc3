"""Monitor: poll until a condition holds, at growing intervals, and give up after a while."""

import os
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from orchestrations import OrchestrationContext, activity, orchestrator

LONGEST_PAUSE_SECONDS = 60.0


@orchestrator
def E3_Monitor(context: OrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    """Wait for a file to appear.

    The input is `{"path", "pause_seconds" (1), "expires_after_seconds" (3600)}`; the output `{"found", "polls"}`.
    """
    wanted = context.get_input()
    pause = float(wanted.get("pause_seconds", 1))
    expires_at = context.current_utc_datetime + timedelta(seconds=wanted.get("expires_after_seconds", 3600))
    polls = 0
    while context.current_utc_datetime < expires_at:
        polls += 1
        if (yield context.call_activity("E3_FileExists", wanted["path"])):
            return {"found": True, "polls": polls}
        context.set_custom_status({"polls": polls, "pause_seconds": pause})
        next_poll = context.current_utc_datetime + timedelta(seconds=pause)
        yield context.create_timer(min(next_poll, expires_at))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return {"found": False, "polls": polls}


@activity
def E3_FileExists(path: str) -> bool:
    """Tell whether there is something at that path."""
    return os.path.exists(path)
