"""What keeps an instance from moving without ending it (REL-11)."""

from __future__ import annotations

MISSING_FUNCTION = "missing-function"
MARKS = {
    "nondeterminism": "nondeterminism",
    "orchestrator.unknown": MISSING_FUNCTION,
    "limit.fan-out": "fan-out-limit",
    "limit.history": "history-limit",
}
"""Error code → mark: what parks an instance instead of ending it (REL-11)."""


class Parked(Exception):
    """The instance cannot move now: it is to be marked with `reason`; nothing of the turn is written."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message
        self.obeys_management = True
        """False where management itself could not be done: then what waits of it is no cause to try again at once."""
