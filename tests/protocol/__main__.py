"""`python -m tests.protocol --seeds 100000`: run more than the suite does; `--seed 4711` tells a story."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.protocol.arena import Arena

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

STORY_LINES = 200


def main() -> int:
    """Run the seeds that are asked for; return 1 if any violates anything."""
    options = _read()
    if options.jobs > 1:
        return _share(options)
    import django

    django.setup()
    from django.db import connection

    from tests.protocol.arena import opened
    from tests.protocol.mutants import MUTANTS, Mutant, planted

    connection.creation.create_test_db(verbosity=0)
    with opened() as arena, planted(MUTANTS[options.mutant] if options.mutant else Mutant("nothing", 0, ())):
        return _tell(arena, options) if options.seed is not None else _run(arena, options)


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and tell its story")
    parser.add_argument("--kinds", default="", help="comma-separated kinds of blocks, or -kind to leave one out")
    parser.add_argument("--mutant", default="", help="plant this bug")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes share the seeds")
    return parser.parse_args()


def _share(options: argparse.Namespace) -> int:
    """Run an equal part of the seeds in each of several processes."""
    part = -(-options.seeds // options.jobs)
    workers = []
    for number in range(options.jobs):
        first = options.first + number * part
        seeds = min(part, options.first + options.seeds - first)
        command = [sys.executable, "-m", "tests.protocol", "--seeds", str(seeds), "--first", str(first)]
        command += [f"--kinds={options.kinds}", f"--mutant={options.mutant}"]
        workers.append(subprocess.Popen(command))
    codes = [worker.wait() for worker in workers]
    return int(any(codes))


def _kinds(options: argparse.Namespace) -> list[str]:
    from tests.protocol.programs import EVERYTHING

    named = [kind for kind in options.kinds.split(",") if kind]
    return [k for k in named if not k.startswith("-")] or [k for k in EVERYTHING if f"-{k}" not in named]


def _tell(arena: Arena, options: argparse.Namespace) -> int:
    found = arena.find_violation(options.seed, _kinds(options))
    print("\n".join(arena.story[-STORY_LINES:]), found or "no violation", sep="\n")
    return bool(found)


def _run(arena: Arena, options: argparse.Namespace) -> int:
    began, bad = time.monotonic(), 0
    for number in range(options.seeds):
        if found := arena.find_violation(options.first + number, _kinds(options)):
            bad += 1
            print(found, flush=True)
        if number % 5000 == 4999:
            print(f"{number + 1} seeds from {options.first} on, {bad} violations", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{options.seeds} seeds from {options.first} on, {bad} violations, {seconds / options.seeds * 1000:.1f} ms each"
    )
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
