"""Every test here that uses the database commits for real; what a process remembers of hubs goes with its content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrations.store import hubs


@pytest.fixture(autouse=True)
def _no_hubs_known() -> Iterator[None]:
    hubs.forget()
    yield
    hubs.forget()
