"""Servers and settings that every test may use. Servers start on first use and end with the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests import browsers, postgres, servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once for all parallel processes, before the first of them asks for its database."""
    if servers.database_kind() != "postgres" or hasattr(config, "workerinput") or config.option.collectonly:
        return
    server = postgres.PostgresServer()
    server.create()
    server.start()
    config.add_cleanup(server.stop)


def pytest_report_header() -> str:
    """Say which variant of the suite this is."""
    replay = os.environ.get("DURABLE_ALWAYS_REPLAY") or "0"
    return f"database: {servers.database_kind()}, DURABLE_ALWAYS_REPLAY={replay}"


@pytest.fixture(scope="session")
def redis_process() -> Iterator[servers.RedisServer]:
    """The run's Valkey, which settings already point at."""
    server = servers.RedisServer(servers.home())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(redis_process: servers.RedisServer) -> servers.RedisServer:
    """A running Valkey without any content; a test may stop it, and it runs again for the next one."""
    if redis_process.process is None or redis_process.process.poll() is not None:
        redis_process.start()
    redis_process.flush()
    return redis_process


@pytest.fixture
def live_asgi_server(transactional_db: None, redis_server: servers.RedisServer) -> Iterator[servers.WebServer]:
    """The real web server as a process of its own, on the test database, which is therefore really committed to."""
    with servers.run_web_server() as server:
        yield server


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The browser's program; the test fails, and says what to do, where there is none."""
    return browsers.ensure_browser()


@pytest.fixture
def browser(browser_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A headless Chromium. Playwright's event loop is in this thread, hence the permission to use the ORM beside it."""
    from playwright.sync_api import sync_playwright

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            headless=True, executable_path=browser_path or None, args=browsers.ARGUMENTS
        )
        yield launched
        launched.close()
