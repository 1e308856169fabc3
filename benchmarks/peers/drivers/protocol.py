"""What drivers share: asked for a workload by a line of JSON, each answers with a line; times are taken in the driver.

A driver runs in the virtual environment of its side, so this imports nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


WORKLOADS = {
    "W1": "sequences",
    "idle": "idle",
    "W2": "chain",
    "W3": "fan",
    "W4 latency": "event_latency",
    "W4 rate": "event_rate",
    "W4 batch": "event_batches",
    "W6": "timers",
    "W7": "starts",
    "W7 batch": "start_batches",
    "raw commits": "raw_commits",
}
"""Workload → the method of a side that runs it, with a size, and returns the figure. A side may lack some."""


async def serve(side: Any) -> None:
    """Answer until standard input ends: {"workload": …, "size": …} by {"figure": …}, null for what the side lacks.

    Whatever libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write('{"ready": true}\n')
    answers.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        workload = getattr(side, WORKLOADS[asked["workload"]], None)
        figure = await workload(asked["size"]) if workload else None
        answers.write(json.dumps({"figure": figure}) + "\n")
        answers.flush()


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return, in milliseconds, what that share of the times does not exceed."""
    ordered = sorted(seconds)
    return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def median_of(size: int, act: Callable[[], Awaitable[Any]], pause: float = 0.03) -> float:
    """Do it so many times, with a pause between, and return the median in milliseconds."""
    found = []
    for _ in range(size):
        watch = Watch()
        await act()
        found.append(watch.seconds)
        await asyncio.sleep(pause)
    return percentile(found, 0.5)


class Watch:
    """A stopwatch that has begun."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time since then."""
        return time.perf_counter() - self._began

    def rate(self, count: int) -> float:
        """How many per second so many are."""
        return count / self.seconds


@contextmanager
def workers(*commands: Sequence[str], **changes: str) -> Iterator[None]:
    """Run processes beside the driver until the block ends."""
    running = [
        subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=2, env={**os.environ, **changes})
        for command in commands
    ]
    try:
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()


def itself(*arguments: str) -> list[str]:
    """Return the command that runs this driver's file as a worker."""
    return [sys.executable, sys.argv[0], *arguments]


async def until(condition: Callable[[], Any], pause: float = 0.001, seconds: float = 300.0) -> None:
    """Ask again and again."""
    watch = Watch()
    while not condition():
        if watch.seconds > seconds:
            raise TimeoutError(f"It did not end within {seconds:g} s.")
        await asyncio.sleep(pause)
