"""Which version is newer, and which one serves (VER-1, VER-3, VER-5)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.engine.results import TurnLimits
from orchestrations.engine.versions import choose, compare
from tests.builders import Play

VERSIONS = st.none() | st.from_regex(r"\A[0-9]{1,2}(\.[0-9]{1,2}){0,2}\Z") | st.text(max_size=4)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (None, "0"),
        (None, "a"),
        ("9", "10"),
        ("1.9", "1.10"),
        ("1", "1.0.1"),
        ("alpha", "BETA"),
        ("ALPHA", "beta"),
        ("1.0-rc1", "1.0-rc2"),
        ("v9", "V91"),
    ],
)
def test_one_version_is_newer_than_another(older: str | None, newer: str) -> None:
    """VER-3."""
    assert (compare(older, newer), compare(newer, older)) == (-1, 1)


@pytest.mark.parametrize(("one", "other"), [(None, None), ("1", "1.0"), ("01", "1"), ("Alpha", "aLPHA"), ("", None)])
def test_two_versions_are_the_same(one: str | None, other: str | None) -> None:
    """VER-3."""
    assert compare(one, other) == compare(other, one) == 0


@given(VERSIONS, VERSIONS)
def test_comparison_is_the_same_from_both_sides(one: str | None, other: str | None) -> None:
    assert compare(one, other) == -compare(other, one)
    assert compare(one, one) == 0


@pytest.mark.parametrize(
    ("wanted", "held", "expected"),
    [
        (None, ["9", "10", "2"], "10"),
        (None, [None, "10"], None),
        ("3", [None, "3", "4"], "3"),
        ("1.0", ["1", "2"], "1"),
        ("5", [None, "3", "4"], "4"),
        # numbers go by number and texts by text, so that three versions can go in a circle: still one answer
        ("x", ["2", "10", "1a"], "2"),
    ],
)
def test_very_version_serves_else_the_newest_whatever_the_order(
    wanted: str | None, held: list[str | None], expected: str | None
) -> None:
    """VER-5."""
    assert {choose(wanted, order) for order in permutations(held)} == {expected}


@pytest.mark.parametrize(("given_one", "default", "expected"), [("7", "2", "7"), (None, "2", "2"), (None, None, None)])
def test_child_gets_the_version_given_else_the_workers_never_its_parents(
    given_one: str | None, default: str | None, expected: str | None
) -> None:
    """VER-1."""

    def f(context: Any) -> Any:
        yield context.call_sub_orchestrator("C", version=given_one)

    play = Play(f, version="1", limits=TurnLimits(default_version=default))
    assert play.start().children[0].version == expected
