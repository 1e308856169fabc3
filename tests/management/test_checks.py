"""System checks refuse settings that would lose work or do nothing."""

from __future__ import annotations

import pytest
from django.test import override_settings

from orchestrations import checks


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DURABLE_BEAT_SECONDS": 20.0, "DURABLE_LEASE_SECONDS": 30.0}, "E005"),
        ({"DURABLE_BEAT_SECONDS": 40.0, "DURABLE_LEASE_SECONDS": 30.0}, "E005"),
        ({"DURABLE_BURST_SECONDS": 0.0}, "E003"),
        ({"DURABLE_STOP_SECONDS": -1.0}, "E003"),
        ({"DURABLE_THREADS": 1000}, "E003"),
        ({"DURABLE_BEAT_SECONDS": "often"}, "E002"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(changes: dict[str, object], code: str) -> None:
    with override_settings(**changes):
        found = checks.check_settings(None) + checks.check_lease(None)
    assert [message.id for message in found] == [f"orchestrations.{code}"]
    assert found[0].hint


def test_the_defaults_pass() -> None:
    assert checks.check_settings(None) + checks.check_lease(None) == []
