"""A fan-out of 500 activities, watched while it runs."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from orchestrations.client.client import DurableClient
from tests import functions  # noqa: F401 - registers the orchestrator
from tests.e2e.conftest import Visit
from tests.workers import Workers

LIST = "/hubs/main/instances/"
WIDTH = 500

pytestmark = pytest.mark.e2e


def test_a_running_fan_out_of_500_is_followed_on_both_pages(workers: Workers, visit: Visit) -> None:
    instance_id = DurableClient().start_new("slow_fan_out", client_input=WIDTH)
    listed = visit(LIST, "viewer")
    page = visit(f"{LIST}{instance_id}/", "operator", "operator")
    seen = _watch(page)
    assert len(seen) >= 3, f"The page went from {min(seen)} to {max(seen)} events without a step between."
    assert sorted(seen) == seen
    expect(page.locator(".summary .status")).to_have_text("Completed", timeout=15_000)
    expect(page.locator("[aria-label=Output]")).to_contain_text(str(WIDTH))
    expect(listed.locator(f"tr:has-text('{instance_id[:8]}') .status")).to_have_text("Completed", timeout=15_000)


def _watch(page: Page) -> list[int]:
    """Return the numbers of events that the page has shown, until the instance has ended; it must answer meanwhile."""
    seen: list[int] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = page.locator("#summary").inner_text()
        count = re.search(r"Events\s+([\d,]+)", text, re.IGNORECASE)
        if count is not None and (number := int(count[1].replace(",", ""))) not in seen:
            seen.append(number)
        if "Completed" in text:
            return seen
        page.wait_for_timeout(50)
    raise AssertionError(f"It has not ended; the page has shown {seen} events.")
