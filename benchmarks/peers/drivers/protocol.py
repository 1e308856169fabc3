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
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Workload = Callable[[int], Awaitable[float]]
HERE = os.path.dirname(os.path.abspath(__file__))


async def serve(workloads: Mapping[str, Workload]) -> None:
    """Answer until standard input ends: {"workload": …, "size": …} by {"figure": …}, null for what it does not know.

    Whatever libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write('{"ready": true}\n')
    answers.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        workload = workloads.get(asked["workload"])
        figure = await workload(asked["size"]) if workload else None
        answers.write(json.dumps({"figure": figure}) + "\n")
        answers.flush()


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return, in milliseconds, what that share of the times does not exceed."""
    ordered = sorted(seconds)
    return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)]


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
