"""The real web server, real workers, a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connections
from playwright.sync_api import Browser, Page, expect

from orchestrations.store import hubs
from tests import servers
from tests.people import PASSWORD, make_user
from tests.workers import Workers, run_workers

Visit = Callable[..., Page]

expect.set_options(timeout=10_000)


@pytest.fixture
def workers(live_asgi_server: servers.WebServer) -> Iterator[Workers]:
    """A supervisor with one worker, on the test database and this run's queue."""
    with run_workers(1) as running:
        yield running


@pytest.fixture
def visit(live_asgi_server: servers.WebServer, browser: Browser) -> Iterator[Visit]:
    """Return a function that opens a page as one of the people, in a browser of his own.

    The test fails if a page has said anything to its console, a report of the content policy included.
    """
    hubs.forget()
    said: list[str] = []

    def open_page(path: str, name: str, *roles: str, **options: object) -> Page:
        user = make_user(name, *roles)
        user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")  # the server knows no hasher of the tests
        user.save()
        page = browser.new_context(base_url=live_asgi_server.url, **options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"/sign-in/?next={path}")
        page.fill("#id_username", name)
        page.fill("#id_password", PASSWORD)
        page.click("button:has-text('Sign in')")
        page.wait_for_url(f"**{path}")
        return page

    yield open_page
    connections.close_all()  # beside Playwright's event loop Django has another set of them, which nobody else closes
    # that an answer was 4xx or a connection was cut, which some tests bring about, is said by browser and htmx
    expected = ("Failed to load resource", "WebSocket", "htmx:")
    assert [text for text in said if not any(word in text for word in expected)] == []
