"""AtomicTask: what calls, timers and waits share: they ask their execution for something, and settle by its events."""

from __future__ import annotations

from orchestrations.engine.events import HistoryEvent
from orchestrations.engine.execution import Execution
from orchestrations.engine.failures import TaskCancelledError
from orchestrations.engine.tasks import Task


class AtomicTask(Task):
    """A task under a sequence number; 0 for a wait without a timeout, which takes none (TSK-1)."""

    __slots__ = ("execution", "sequence")

    def __init__(self, execution: Execution, sequence: int) -> None:
        super().__init__(execution.now)
        self.execution, self.sequence = execution, sequence

    def handle(self, event: HistoryEvent) -> bool:
        """Take an event that carries its sequence number; False if it is outdated (TSK-7)."""
        raise NotImplementedError

    def settle_cancelled(self, what: str) -> bool:
        """Settle as cancelled; False if it has settled already (TSK-6)."""
        if self.is_completed:
            return False
        self.is_cancelled = True
        self.settle(error=TaskCancelledError(what, self.sequence))
        return True
