"""How much is claimed and kept."""

from __future__ import annotations

from orchestrations.runtime.pace import Pace


def test_what_is_unknown_is_taken_one_at_a_time() -> None:
    pace = Pace(0.05, 1000)
    assert pace.activities_to_claim() == 1
    assert pace.keep(["new", "new"]) == [True, False]
    assert pace.keep([]) == []


def test_what_is_quick_is_taken_in_numbers_up_to_the_bound() -> None:
    pace = Pace(50 / 1024, 100)
    pace.note("quick", 1 / 1024)
    assert pace.activities_to_claim() == 50
    assert pace.keep(["quick"] * 60).count(True) == 50
    pace = Pace(0.05, 100)
    pace.note("instant", 0.0)
    assert pace.activities_to_claim() == 100
    assert pace.keep(["instant"] * 150).count(True) == 100


def test_what_is_slow_is_taken_one_at_a_time_and_the_first_always() -> None:
    pace = Pace(0.05, 100)
    pace.note("slow", 3.0)
    assert pace.activities_to_claim() == 1
    assert pace.keep(["slow", "slow"]) == [True, False]


def test_a_slow_function_does_not_end_the_share_of_the_budget_before_it() -> None:
    pace = Pace(0.05, 100)
    pace.note("quick", 0.001)
    pace.note("slow", 3.0)
    assert pace.keep(["quick", "quick", "slow", "quick"]) == [True, True, False, False]


def test_the_average_follows_what_is_seen() -> None:
    pace = Pace(0.05, 1000)
    pace.note("f", 1.0)
    for _ in range(40):
        pace.note("f", 0.001)
    assert pace.activities_to_claim() > 40
