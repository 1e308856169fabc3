"""Compare: `python -m benchmarks.peers [--sides ours-sqlite,restate] [--workloads W1,W2] [--rounds 5] [--workers 1]`.

All sides run at once and are asked in turns, one workload after the other, round after round, so that each meets the
same hour of the machine. Prints Markdown; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.report import Line, tables
from benchmarks.peers.sides import INSTALLED, PROJECT, SIDES, Driver, Place

WORKLOADS = (
    ("W1", 500, "instances/s", True),
    ("idle", 30, "p50 ms", False),
    ("W2", 1000, "steps/s", True),
    ("W2", 5000, "steps/s", True),
    ("W3", 1000, "activities/s", True),
    ("W3", 10_000, "activities/s", True),
    ("W4 latency", 100, "p50 ms", False),
    ("W4 rate", 1000, "events/s", True),
    ("W4 batch", 1000, "events/s", True),
    ("W6", 500, "p95 ms", False),
    ("W7", 2000, "starts/s", True),
    ("W7 batch", 2000, "starts/s", True),
    ("raw commits", 2000, "commits/s", True),
)


PATIENCE_SECONDS = 60.0
"""A side that took longer for a workload is not asked for it again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, start, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--sides", default=",".join(side.name for side in SIDES))
    parser.add_argument("--workloads", default=",".join(dict.fromkeys(name for name, *_ in WORKLOADS)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--divide", type=int, default=1, help="make every size so many times smaller, to try it out")
    options = parser.parse_args(arguments)
    sides = [side for side in SIDES if side.name in options.sides.split(",")]
    lines = [
        Line(name, max(1, size // options.divide), unit, is_rate)
        for name, size, unit, is_rate in WORKLOADS
        if name in options.workloads.split(",")
    ]
    with contextlib.ExitStack() as stack:
        place = _prepare(stack, options.workers)
        drivers = []
        for side in sides:
            drivers.append(Driver(side, place))
            stack.callback(drivers[-1].stop)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: what there is by then is told
            for number in range(options.rounds):
                for line in lines:
                    _ask(line, drivers if number % 2 == 0 else drivers[::-1])
                print(f"  round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    ours, peers = ([s.name for s in sides if s.name.startswith("ours") is is_ours] for is_ours in (True, False))
    print(tables(lines, ours, peers, {side.name: side.versions() for side in sides}))
    return 0


def _prepare(stack: contextlib.ExitStack, workers: int) -> Place:
    INSTALLED.mkdir(exist_ok=True)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True)))
    directory.chmod(0o711)
    os.environ["DURABLE_TEST_HOME"] = str(directory)
    sys.path.insert(0, str(PROJECT))
    from tests.postgres import PostgresServer

    server = PostgresServer()
    server.create()
    server.start()
    stack.callback(server.stop)
    return Place(directory, server.directory, workers)


def _ask(line: Line, drivers: Sequence[Driver]) -> None:
    for driver in drivers:
        if driver.side.name in line.slow:
            continue
        time.sleep(0.5)  # what the last one left to do
        before = _busy(), _own(), time.monotonic()
        figure = driver.ask(line.workload, line.size)
        if time.monotonic() - before[2] > PATIENCE_SECONDS:
            line.slow.add(driver.side.name)
        if figure is not None:
            print(f"  {line.name:<18} {driver.side.name:<16} {figure:9.4g} {line.unit}", file=sys.stderr, flush=True)
            line.figures.setdefault(driver.side.name, []).append(figure)
            wall = (time.monotonic() - before[2]) * (os.cpu_count() or 1)
            line.others.append(max(0.0, (_busy() - before[0]) - (_own() - before[1])) / wall)


def _busy() -> float:
    """Return the seconds that all processors have worked so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Return the seconds that this process and all below it have worked, those that have ended included."""
    parents, seconds = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                seconds[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return sum(time for pid, time in seconds.items() if _is_below(pid, parents))


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid and pid != os.getpid():
        pid = parents.get(pid, 0)
    return pid == os.getpid()


if __name__ == "__main__":
    sys.exit(main())
