"""What a body waits for, as its instance's row shows it to people."""

from __future__ import annotations

from itertools import islice
from typing import Any

from orchestrations.engine.tasks import Task

TASKS, EVENTS = 20, 100
"""How many tasks are described; waits for events, on which people may have to decide, come first and are more."""


def describe_waiting(awaited: Task) -> list[dict[str, Any]]:
    """Return the members of `client.status.Wait` for what has not settled below a task.

    Waits for events come first, then other tasks in input order; what is not described is counted by one last entry of
    the kind `more`.
    """
    found = [wait.describe() for wait in islice(awaited.event_waits(), EVENTS)]
    others = (leaf for leaf in awaited.leaves() if not leaf.is_event_wait)
    found += [leaf.describe() for leaf in islice(others, max(0, TASKS - len(found)))]
    more = awaited.count_open() - len(found)
    return [*found, {"kind": "more", "count": more}] if more > 0 else found
