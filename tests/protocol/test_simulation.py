"""No seed violates anything, and every planted bug is found within its stated number of seeds (TST-5)."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests import servers
from tests.protocol.arena import Arena, opened
from tests.protocol.mutants import MUTANTS, planted
from tests.protocol.programs import EVERYTHING

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
FIXED_SEEDS = SEEDS // 2
FRESH_BASE = int(os.environ.get("SIMULATION_BASE") or secrets.randbelow(10**9))
PART = 250

VARIANT_OF_ITS_OWN = [
    pytest.mark.slow,
    pytest.mark.simulation,
    pytest.mark.skipif(
        servers.database_kind() != "sqlite" or os.environ.get("DURABLE_ALWAYS_REPLAY", "0") not in ("", "0"),
        reason="runs on SQLite, and chooses itself when to replay",
    ),
]
pytestmark = [pytest.mark.django_db(transaction=True), *VARIANT_OF_ITS_OWN]


@pytest.fixture(scope="module")
def arena(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Arena]:
    with django_db_blocker.unblock(), opened() as arena:
        yield arena


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, PART))
def test_fixed_seeds_violate_nothing(arena: Arena, first: int) -> None:
    _run(arena, range(first, min(first + PART, FIXED_SEEDS)))


@pytest.mark.parametrize("first", range(0, SEEDS - FIXED_SEEDS, PART))
def test_fresh_seeds_violate_nothing(arena: Arena, first: int) -> None:
    print(f"fresh seeds begin at {FRESH_BASE}; SIMULATION_BASE={FRESH_BASE} runs them again")
    _run(arena, range(FRESH_BASE + first, FRESH_BASE + min(first + PART, SEEDS - FIXED_SEEDS)))


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_bug_is_found_within_its_budget(arena: Arena, name: str) -> None:
    mutant = MUTANTS[name]
    with planted(mutant):
        found = any(
            arena.find_violation(seed, mutant.kinds or EVERYTHING)
            for seed in range(mutant.first, mutant.first + mutant.budget)
        )
    assert found, f"not found by {mutant.budget} seeds: {mutant.what}"


def test_same_seed_runs_the_same_way(arena: Arena) -> None:
    stories = []
    for _ in range(2):
        arena.run(4711)
        stories.append(arena.story)
    assert stories[0] == stories[1]
    assert len(stories[0]) > 5


def test_faults_really_happen_and_fences_really_hold(arena: Arena) -> None:
    """Anti-vacuity (TST-2): what the seeds prove, they prove under fire."""
    counts: Counter[str] = Counter()
    for seed in range(150):
        counts.update(arena.run(seed).world.counts)
    assert counts["kills"] > 100
    assert counts["errors"] > 20
    assert counts["fenced"] > 2
    assert counts["repeated"] > 5


def _run(arena: Arena, seeds: Iterable[int]) -> None:
    for seed in seeds:
        found = arena.find_violation(seed)
        assert not found, "\n".join([*arena.story[-150:], found, f"python -m tests.protocol --seed {seed}"])
