"""Runs the suite in its variants and sums them up in one table: `python -m tests.run [--only MARK] [pytest args]`.

The variants are the two databases, each with live bodies and with replay in every turn, and the simulation, which
chooses all of that itself. What does not depend on replay the replaying variants leave out: tests in a browser, chaos
runs, and the folders whose tests are about pages, processes and sources, and run turns only to have something to show.
Much of the suite waits, so the two databases are tested side by side, and the others fill the pauses of both; what is
measured or chosen by a mark runs alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Variant:
    """One way to run the suite: what is set, and which tests count."""

    name: str
    database: str
    always_replay: bool = False
    marks: str = "not benchmark and not simulation"
    gives_way: bool = False

    @property
    def lane(self) -> str:
        """What runs one after the other; lanes run side by side."""
        return "beside" if self.gives_way else self.database


REPLAYING = "not benchmark and not simulation and not e2e and not chaos"
INDEPENDENT_OF_REPLAY = ("architecture", "live", "project", "web")
"""Folders of `tests`."""

VARIANTS = (
    Variant("SQLite", "sqlite"),
    Variant("PostgreSQL", "postgres"),
    Variant("Simulation", "sqlite", marks="simulation", gives_way=True),
    Variant("SQLite, always replay", "sqlite", always_replay=True, marks=REPLAYING, gives_way=True),
    Variant("PostgreSQL, always replay", "postgres", always_replay=True, marks=REPLAYING, gives_way=True),
)


@dataclass(frozen=True)
class Outcome:
    """What one variant came to."""

    variant: Variant
    code: int
    tests: int
    failed: int
    skipped: int
    seconds: float

    @property
    def passed(self) -> int:
        return self.tests - self.failed - self.skipped

    @property
    def is_good(self) -> bool:
        return self.code == 0 and self.passed > 0

    @property
    def is_empty(self) -> bool:
        """Tell whether none of the tests that were asked for is for this variant."""
        return self.code == pytest.ExitCode.NO_TESTS_COLLECTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every variant, whatever the earlier ones came to; return 0 if all are good. Where the arguments choose tests,
    a variant may have none of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument("--only", default="", help="run the tests with this mark, without the replaying variants")
    parser.add_argument("--variant", default="", help="run the variants whose name contains this text")
    options, rest = parser.parse_known_args(arguments)
    chosen = [v for v in VARIANTS if options.variant.lower() in v.name.lower()]
    if options.only:
        own = [v for v in chosen if v.marks == options.only]
        chosen = own or [Variant(v.name, v.database, marks=options.only) for v in chosen if not v.gives_way]
    outcomes = [run(variant, rest) for variant in chosen] if options.only else run_side_by_side(chosen, rest)
    show(outcomes)
    is_chosen = any(one == "-k" or Path(one.partition("::")[0]).exists() for one in rest)
    counted = [outcome for outcome in outcomes if not (is_chosen and outcome.is_empty)]
    return 0 if counted and all(outcome.is_good for outcome in counted) else 1


def run_side_by_side(chosen: Sequence[Variant], rest: Sequence[str]) -> list[Outcome]:
    """Run the lanes at once, each one's variants one after the other; the first lane shows its progress, what another
    prints follows when a variant has ended."""
    lanes = [[v for v in chosen if v.lane == lane] for lane in dict.fromkeys(v.lane for v in chosen)]
    with ThreadPoolExecutor(len(lanes) or 1) as pool:
        futures = [
            pool.submit(lambda lane, silent: [run(v, rest, is_silent=silent) for v in lane], lane, number > 0)
            for number, lane in enumerate(lanes)
        ]
    return [outcome for future in futures for outcome in future.result()]


def run(variant: Variant, rest: Sequence[str], *, is_silent: bool = False) -> Outcome:
    """Run pytest in a process of its own, since settings are read once in a process. Some variants give way to the
    others, which have tests that depend on time."""
    title = f"\n==== {variant.name} ===="
    print(f"{title} (its report follows when it has ended)" if is_silent else title, flush=True)
    values = {**os.environ, "DURABLE_TEST_DATABASE": variant.database}
    values["DURABLE_ALWAYS_REPLAY"] = "1" if variant.always_replay else "0"
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = ["nice"] if variant.gives_way else []
        command += [sys.executable, "-m", "pytest", "-q", "-m", variant.marks, f"--junitxml={report}", *rest]
        if variant.always_replay:
            command += [f"--ignore=tests/{folder}" for folder in INDEPENDENT_OF_REPLAY]
        if variant.marks == "benchmark":
            command.append("-s")
        done = subprocess.run(command, env=values, check=False, stdout=subprocess.PIPE if is_silent else None)
        code = done.returncode
        tests, failed, skipped = _counts(report)
        if is_silent:
            print(f"{title}\n{done.stdout.decode(errors='replace')}", flush=True)
    return Outcome(variant, code, tests, failed, skipped, time.monotonic() - begun)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print a line for each variant, and the sum as the last one."""
    print("\n==== summary ====")
    for outcome in outcomes:
        word = "good" if outcome.is_good else "none" if outcome.is_empty else f"BAD (pytest ended with {outcome.code})"
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
        print(f"{outcome.variant.name:<28} {word:<6} {counts} in {outcome.seconds:.0f} s")
    print(f"{sum(o.passed for o in outcomes)} passed, {sum(o.failed for o in outcomes)} failed", flush=True)


def _counts(report: Path) -> tuple[int, int, int]:
    if not report.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total = {key: sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "failures", "errors", "skipped")}
    return total["tests"], total["failures"] + total["errors"], total["skipped"]


if __name__ == "__main__":
    sys.exit(main())
