"""ActivityContext: what an activity may know of the attempt that it is."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

occupied: ContextVar[tuple[str, str] | None] = ContextVar("occupied", default=None)
"""Name and queue of the activity whose code runs here and has its worker to itself; None everywhere else."""


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """`attempt` counts from 1. `idempotency_key` (`hub/instance/execution/sequence number`) is the same for all
    attempts and redeliveries of the task: give it to other systems, so that they do the work once (ACT-2)."""

    instance_id: str
    task_id: int
    attempt: int
    idempotency_key: str
    name: str
