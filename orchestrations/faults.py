"""Labelled crash points: the seam at which tests stop, kill or reorder what runs. In production nobody observes them.

A process that is started with `DURABLE_FAULTS` carries out the faults that it lists, comma-separated
`label:occurrence:action`; the action is `kill` (SIGKILL to this process) or `stop=<seconds>` (SIGSTOP, continued by a
child after that time: a zombie with old leases). A test in the same process observes the labels itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VARIABLE = "DURABLE_FAULTS"

Observer = Callable[[str], None]

_observer: Observer | None = None


def crashpoint(label: str) -> None:
    """Tell the observer, if there is one, that this point has been reached; what it raises is raised here."""
    if _observer is not None:
        _observer(label)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Let `observer` see every crash point of this process, in all threads, until the block ends."""
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


class ProcessFaults:
    """Carries out the listed faults, each at its occurrence of its label, counted from 1."""

    def __init__(self, text: str) -> None:
        self._actions: dict[tuple[str, int], str] = {}
        self._seen: Counter[str] = Counter()
        for fault in filter(None, text.split(",")):
            label, occurrence, action = fault.split(":")
            self._actions[label, int(occurrence)] = action

    def __call__(self, label: str) -> None:
        """Count the label, and kill or stop this process if that is asked for."""
        self._seen[label] += 1
        action = self._actions.get((label, self._seen[label]), "")
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action.startswith("stop="):
            seconds = float(action.removeprefix("stop="))
            subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"])
            os.kill(os.getpid(), signal.SIGSTOP)


if os.environ.get(VARIABLE):
    _observer = ProcessFaults(os.environ[VARIABLE])
