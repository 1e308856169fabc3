"""Two signals, sent after COMMIT: there is work in a queue; an instance has changed.

The store sends them, the runtime and the pages listen (connected in `apps`), and neither is imported here. Receivers
are hints' senders: whatever they raise is logged, for what was committed must not become an error.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

logger = logging.getLogger("orchestrations")

work_available = Signal()
"""queue: str, at: datetime | None, items: int, is_surplus: bool. `at` in the future is an instant to plan for; None is
now. A surplus is more than who announces it can do: others should come, too."""

instance_changed = Signal()
"""hub: str, instance_id: str, revision: int."""

burst_ended = Signal()
"""No facts: a worker has ended a job; what was held back for coalescing should leave now."""


def announce_work(queue: str, at: datetime | None = None, *, items: int = 1, is_surplus: bool = False) -> None:
    """Tell after COMMIT that `queue` has `items` work items that are due at `at`, or now, and nobody's."""
    facts = {"queue": queue, "at": at, "items": items, "is_surplus": is_surplus}
    transaction.on_commit(partial(_send, work_available, **facts), robust=True)


def announce_change(hub: str, instance_id: str, revision: int) -> None:
    """Tell after COMMIT that an instance has a new revision."""
    transaction.on_commit(
        partial(_send, instance_changed, hub=hub, instance_id=instance_id, revision=revision), robust=True
    )


def _send(signal: Signal, **facts: Any) -> None:
    for receiver, answer in signal.send_robust(sender=None, **facts):
        if isinstance(answer, Exception):
            logger.error("signal receiver %s failed: %s", receiver, answer, exc_info=answer)
