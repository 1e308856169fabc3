"""Statuses of an instance."""

from enum import StrEnum


class Status(StrEnum):
    """The wire's runtime statuses. The last two are accepted in filters and old histories, never produced (INS-2)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TERMINATED = "Terminated"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    CANCELED = "Canceled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED, Status.CANCELED})
LIVE = frozenset({Status.PENDING, Status.RUNNING, Status.SUSPENDED})
