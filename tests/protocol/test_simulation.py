"""No seed violates anything, and every planted bug is found within its stated number of seeds (TST-5)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable

import pytest

from tests import servers
from tests.protocol.mutants import BUDGETS, Mutant
from tests.protocol.simulation import Simulation, find_violation

FIXED_SEEDS = 2_000
FRESH_SEEDS = int(os.environ.get("DURABLE_SIMULATION_SEEDS", "2000"))
FRESH_BASE = int(os.environ.get("DURABLE_SIMULATION_BASE") or secrets.randbelow(10**9))
PART = 500

ONE_VARIANT_ONLY = pytest.mark.skipif(
    servers.database_kind() != "sqlite" or os.environ.get("DURABLE_ALWAYS_REPLAY", "0") not in ("", "0"),
    reason="knows neither database nor setting, so one variant of the suite is enough",
)
pytestmark = [pytest.mark.slow, ONE_VARIANT_ONLY]


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, PART))
def test_fixed_seeds_violate_nothing(first: int) -> None:
    _run_correct(range(first, first + PART))


@pytest.mark.parametrize("first", range(0, FRESH_SEEDS, PART))
def test_fresh_seeds_violate_nothing(first: int) -> None:
    print(f"fresh seeds begin at {FRESH_BASE}; DURABLE_SIMULATION_BASE={FRESH_BASE} runs them again")
    _run_correct(range(FRESH_BASE + first, FRESH_BASE + first + min(PART, FRESH_SEEDS - first)))


@pytest.mark.parametrize("mutants", BUDGETS, ids="+".join)
def test_planted_bug_is_found_within_its_budget(mutants: tuple[Mutant, ...]) -> None:
    budget = BUDGETS[mutants]
    planted = frozenset(mutants)
    assert any(find_violation(seed, planted) for seed in range(budget)), f"not found by {budget} seeds: {planted}"


def test_every_planted_bug_has_a_budget() -> None:
    assert {mutant for mutants in BUDGETS for mutant in mutants} == set(Mutant)


def test_same_seed_runs_the_same_way() -> None:
    first, second = Simulation(4711), Simulation(4711)
    first.run()
    second.run()
    histories = [[row.history for row in run.tables.instances.values()] for run in (first, second)]
    assert histories[0] == histories[1]
    assert first.steps == second.steps


def test_faults_really_happen_and_fences_really_hold() -> None:
    """Anti-vacuity (TST-2): what the seeds prove, they prove under fire."""
    runs = [Simulation(seed) for seed in range(20)]
    for run in runs:
        run.run()
    assert sum(run.faults for run in runs) > 200
    assert sum(run.tables.fenced for run in runs) > 10
    assert sum(run.kills for run in runs) > 20
    assert sum(max(run.world.effects.values(), default=0) > 1 for run in runs) > 5


def _run_correct(seeds: Iterable[int]) -> None:
    failures = {seed: found for seed in seeds if (found := find_violation(seed))}
    commands = [f"python -m tests.protocol.simulation {seed}  # {found}" for seed, found in failures.items()]
    assert not commands, "\n".join(commands)
