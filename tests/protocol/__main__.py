"""`python -m tests.protocol --seeds 100000`: run more than the suite does; `--seed 4711` tells a story."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.protocol.arena import Arena

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main() -> int:
    """Run the seeds that are asked for; return 1 if any violates anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and tell its story")
    parser.add_argument("--kinds", default="", help="comma-separated kinds of blocks, or -kind to leave one out")
    parser.add_argument("--mutant", default="", help="plant this bug")
    options = parser.parse_args()
    import django

    django.setup()
    from django.db import connection

    from tests.protocol.arena import opened

    connection.creation.create_test_db(verbosity=0)
    from tests.protocol.mutants import MUTANTS, Mutant, planted

    with opened() as arena, planted(MUTANTS[options.mutant] if options.mutant else Mutant("nothing", 0, ())):
        return _run(arena, options)


def _run(arena: Arena, options: argparse.Namespace) -> int:
    from tests.protocol.programs import EVERYTHING

    named = [kind for kind in options.kinds.split(",") if kind]
    kinds = [k for k in named if not k.startswith("-")] or [k for k in EVERYTHING if f"-{k}" not in named]
    if options.seed is not None:
        found = arena.find_violation(options.seed, kinds)
        print("\n".join(arena.story[-200:]), found or "no violation", sep="\n")
        return bool(found)
    began, bad = time.monotonic(), 0
    for seed in range(options.first, options.first + options.seeds):
        if found := arena.find_violation(seed, kinds):
            bad += 1
            print(found, flush=True)
    seconds = time.monotonic() - began
    print(f"{options.seeds} seeds, {bad} violations, {seconds / options.seeds * 1000:.1f} ms each")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
