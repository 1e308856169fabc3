"""Labelled crash points, for tests: `crashpoint(label)` does nothing unless the environment asks for a fault there.

`DURABLE_FAULTS` is a comma-separated list of `label:occurrence:action`; the action is `kill` (SIGKILL to this process)
or `stop=<seconds>` (SIGSTOP, continued by a child after that time: a zombie with old leases).
"""

from __future__ import annotations

import os
import signal
import subprocess

VARIABLE = "DURABLE_FAULTS"

_faults: dict[str, list[tuple[int, str]]] = {}
_seen: dict[str, int] = {}


def _read() -> None:
    for fault in filter(None, os.environ.get(VARIABLE, "").split(",")):
        label, occurrence, action = fault.split(":")
        _faults.setdefault(label, []).append((int(occurrence), action))


def crashpoint(label: str) -> None:
    """Carry out the fault that is asked for at this occurrence of the label, if any."""
    if not _faults:
        return
    count = _seen[label] = _seen.get(label, 0) + 1
    for occurrence, action in _faults.get(label, ()):
        if occurrence == count:
            _carry_out(action)


def _carry_out(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("stop="):
        seconds = float(action.removeprefix("stop="))
        subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), signal.SIGSTOP)


_read()
