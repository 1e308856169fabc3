"""Every test here that uses the database commits for real; what a process remembers of hubs goes with its content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrations.store import instances


@pytest.fixture(autouse=True)
def _no_hubs_known() -> Iterator[None]:
    instances.forget_hubs()
    yield
    instances.forget_hubs()
