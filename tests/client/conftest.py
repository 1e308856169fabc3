"""Every test here commits for real; what a process remembers of hubs goes with the database's content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrations.store import hubs
from tests import servers
from tests.bursts import HINTS


@pytest.fixture(autouse=True)
def _committing_database(transactional_db: None, redis_server: servers.RedisServer) -> Iterator[None]:
    hubs.forget()
    HINTS.clear()
    yield
    hubs.forget()
