"""The exhaustive model: the protocol as designed is right from every state, and every planted bug is found."""

from __future__ import annotations

import pytest

from tests.protocol.exploration import designed, explore, planted
from tests.protocol.model import Variant
from tests.protocol.test_simulation import VARIANT_OF_ITS_OWN

pytestmark = VARIANT_OF_ITS_OWN


@pytest.mark.parametrize(("name", "variant"), list(designed()), ids=lambda value: getattr(value, "program", value))
def test_protocol_loses_nothing_and_does_nothing_twice(name: str, variant: Variant) -> None:
    result = explore(variant)
    assert result.found == set()
    assert result.states > 900


@pytest.mark.parametrize(("name", "expected", "variant"), list(planted()), ids=lambda value: str(value)[:28])
def test_planted_bug_is_found_by_exploration(name: str, expected: str, variant: Variant) -> None:
    assert explore(variant).found == {expected}
