"""Benchmarks commit for real, and print one table in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from orchestrations.store import hubs
from tests import servers
from tests.benchmarks import ground as grounds
from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Report


@pytest.fixture(scope="session")
def ground_table(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The table that ground figures are measured on."""
    with django_db_blocker.unblock(), grounds.table():
        yield


@pytest.fixture
def ground(ground_table: None, transactional_db: None, redis_server: servers.RedisServer) -> Iterator[Ground]:
    """Ground figures of this test, on an empty database and an empty queue."""
    hubs.forget()
    yield Ground()
    hubs.forget()


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """The table of the run."""
    made = Report(f"\nfigures on {servers.database_kind()} (rates per second; ratio = figure / ground)")
    yield made
    print(made.render(), flush=True)
