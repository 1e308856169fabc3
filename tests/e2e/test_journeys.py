"""What people do, in a real browser: start and watch, decide, lose the connection, type while things change."""

from __future__ import annotations

import json
import re
import time

import pytest
from playwright.sync_api import Page, expect

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store.models import AuditEntry, Instance, Schedule
from orchestrations.store.signals import announce_change
from tests.e2e.conftest import Visit
from tests.people import HUB, change, make_history, make_row, waiting_for
from tests.workers import Workers

pytestmark = pytest.mark.e2e

LIST = f"/hubs/{HUB}/instances/"
LIVE = re.compile("^Live$")


def _is_live(page: Page) -> None:
    expect(page.locator("#pill")).to_have_text(LIVE)


def _change(row: Instance, **members: object) -> None:
    """Change a row as a worker's commit does."""
    revision = Schedule.objects.get(pk=row.pk).revision + 1
    change(row, revision=revision, **members)
    announce_change(HUB, row.instance_id, revision)


def test_start_a_sample_and_see_it_complete_without_reloading(workers: Workers, visit: Visit) -> None:
    page = visit(LIST, "operator")
    page.click("summary:has-text('Start…')")
    page.fill("#id_name", "E1_HelloSequence")
    page.click("#start-form button.btn-primary")
    page.wait_for_url(re.compile(r"/instances/[0-9a-f]{32}/"))
    page.evaluate("window.stayed = true")
    expect(page.locator(".summary .status")).to_have_text("Completed")
    expect(page.locator("[aria-label=Output]")).to_contain_text("Hello Seattle!")
    expect(page.locator("#history tr[id^=event-]")).to_have_count(12)
    assert page.evaluate("window.stayed")


def test_list_follows_by_itself(workers: Workers, visit: Visit) -> None:
    page = visit(LIST, "viewer")
    _is_live(page)
    expect(page.locator(".empty")).to_be_visible()
    DurableClient().start_new("E1_HelloSequence")
    page.click("text=1 new")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(page.locator("#rows tbody .status")).to_have_text("Completed")


def test_approver_decides_and_the_other_one_reads_whose_it_was(workers: Workers, visit: Visit) -> None:
    instance_id = DurableClient().start_new("E4_Approval", client_input={"subject": "Invoice 4711"})
    path = f"{LIST}{instance_id}/"
    ana, viewer, operator = visit(path, "Ana", "approver"), visit(path, "viewer"), visit(path, "operator")
    for page in (viewer, operator):
        expect(page.locator(".decision button").first).to_be_disabled()
    ben = visit(path, "Ben", "approver")
    ben.route("**/live/regions/**", lambda route: route.abort())  # what Ben looks at is old
    ana.click("button[value=rejected]")
    expect(ana.locator(".decision .field-error")).to_have_text("A rejection needs a comment.")
    ana.fill(".decision textarea", "too dear")
    ana.click("button[value=rejected]")
    expect(ana.locator(".summary .status")).to_have_text("Completed")
    expect(ana.locator("[aria-label=Output]")).to_contain_text("rejected")
    ben.click("button[value=approved]")
    expect(ben.locator("#note")).to_contain_text("Already rejected by Ana at")
    expect(viewer.locator(".summary .status")).to_have_text("Completed")
    entries = AuditEntry.objects.filter(instance_id=instance_id).order_by("id")
    assert list(entries.values_list("actor", "action", "result")) == [
        ("Ana", "reject", "done"),
        ("Ben", "approve", "refused"),
    ]


def test_socket_cut_and_restored_shows_the_truth_within_twelve_seconds(visit: Visit) -> None:
    row = make_row()
    page = visit(f"{LIST}{row.instance_id}/", "viewer")
    _is_live(page)
    page.context.set_offline(True)
    expect(page.locator("#pill")).not_to_have_text(LIVE, timeout=30_000)
    _change(row, status=Status.SUSPENDED, custom_status='"after the cut"')
    page.context.set_offline(False)
    begun = time.monotonic()
    expect(page.locator("#summary")).to_contain_text("after the cut", timeout=12_000)
    assert time.monotonic() - begun < 12


def test_hint_that_is_lost_is_healed_by_the_beat(visit: Visit) -> None:
    row = make_row()
    page = visit(f"{LIST}{row.instance_id}/", "viewer")
    _is_live(page)
    change(row, custom_status='"nobody told"', revision=9)
    expect(page.locator("#summary")).to_contain_text("nobody told", timeout=12_000)


def test_typing_is_not_disturbed(visit: Visit) -> None:
    row = make_row(waiting=waiting_for("Approval"))
    page = visit(f"{LIST}{row.instance_id}/", "both", "operator", "approver")
    _is_live(page)
    page.locator(".decision textarea").press_sequentially("because")
    for number in range(3):
        _change(row, custom_status=str(number), status=Status.SUSPENDED if number == 1 else Status.RUNNING)
    _change(row, status=Status.SUSPENDED)
    expect(page.locator(".summary .status")).to_have_text("Suspended")
    expect(page.locator(".decision textarea")).to_have_value("because")
    expect(page.locator(".decision textarea")).to_be_focused()
    expect(page.locator("#resume-form")).to_have_count(0)
    page.fill(".decision textarea", "")
    page.locator("h1").click()
    expect(page.locator("#resume-form")).to_have_count(1)


def test_a_cancelled_dialog_holds_nothing_and_a_field_says_that_it_does(visit: Visit) -> None:
    row = make_row()
    page = visit(f"{LIST}{row.instance_id}/", "operator")
    page.click("text=Terminate…")
    page.fill("#terminate-reason", "half a")
    page.keyboard.press("Escape")
    page.click("summary:has-text('Raise event…')")
    page.fill("#event-data", "{")
    page.click("summary:has-text('Raise event…')")
    _change(row, status=Status.SUSPENDED)
    expect(page.locator("#resume-form button")).to_be_visible(timeout=15_000)
    page.click("summary:has-text('Raise event…')")
    page.fill("#event-data", "{")
    _change(row, status=Status.RUNNING)
    expect(page.locator("#actions[data-held]")).to_be_visible(timeout=15_000)
    expect(page.locator("#event-data")).to_have_value("{")


def test_what_one_does_oneself_is_shown_while_the_page_is_paused(visit: Visit, workers: Workers) -> None:
    instance_id = DurableClient().start_new("E4_Approval")
    page = visit(f"{LIST}{instance_id}/", "operator")
    expect(page.locator(".summary .status")).to_have_text("Waiting")
    page.click("[data-behaviour=pause]")
    page.click("text=Suspend")
    expect(page.locator(".summary .status")).to_have_text("Suspended")


def test_typing_in_the_search_keeps_the_status(visit: Visit) -> None:
    make_row(name="Order", status=Status.FAILED, instance_id="broken")
    make_row(name="Order", instance_id="whole")
    page = visit(LIST, "viewer")
    page.click("#chip-failed")
    expect(page.locator("#rows")).not_to_contain_text("whole")
    page.fill("input[name=name]", "Ord")
    expect(page).to_have_url(re.compile(r"\?status=Failed&name=Ord$"))
    expect(page.locator("#rows")).to_contain_text("broken")
    expect(page.locator("#rows")).not_to_contain_text("whole")


def test_pausing_holds_changes_and_says_how_many(visit: Visit) -> None:
    row = make_row()
    page = visit(f"{LIST}{row.instance_id}/", "viewer")
    _is_live(page)
    page.click("text=Pause live")
    _change(row, custom_status='"held"')
    expect(page.locator("#pill")).to_have_text(re.compile(r"Paused \(\d changes?\)"))
    expect(page.locator("#summary")).not_to_contain_text("held")
    page.click("text=Resume live")
    expect(page.locator("#summary")).to_contain_text("held")


def test_long_history_grows_and_keeps_what_was_loaded(visit: Visit) -> None:
    row = make_row()
    make_history(row, 1_050)
    page = visit(f"{LIST}{row.instance_id}/", "viewer")
    _is_live(page)
    page.locator("tbody[id^=history-][id$='-200']").scroll_into_view_if_needed()
    expect(page.locator("#event-250")).to_have_count(1)
    expect(page.locator("tbody.spacer")).not_to_have_count(0)
    page.locator("details[id^=peek-][id$='-250'] summary").click()
    expect(page.locator("details[id^=peek-][id$='-250'] .members")).to_contain_text("TaskScheduled")
    make_history(row, 30)
    announce_change(HUB, row.instance_id, Schedule.objects.get(pk=row.pk).revision)
    expect(page.locator("#event-1079")).to_have_count(1)
    expect(page.locator("details[id^=peek-][id$='-250'] .members")).to_contain_text("TaskScheduled")
    expect(page.locator("#history .count")).to_have_text("1080")


def test_everything_by_plain_forms(visit: Visit, workers: Workers) -> None:
    instance_id = DurableClient().start_new("E4_Approval")
    page = visit(f"{LIST}{instance_id}/", "both", "operator", "approver", java_script_enabled=False)
    deadline = time.monotonic() + 10
    while not page.locator(".decision").count():
        assert time.monotonic() < deadline
        page.reload()
    page.click("text=Terminate…")
    expect(page.locator("#terminate-title")).to_contain_text("Terminate this instance?")
    page.click("text=Keep it running")
    page.fill(".decision textarea", "fine")
    page.click("button[value=approved]")
    expect(page.locator("#note")).to_contain_text("You have approved it.")
    while page.locator(".summary .status").inner_text().strip() != "Completed":
        assert time.monotonic() < deadline + 10
        page.reload()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_scrolls_sideways_and_hostile_text_is_inert(visit: Visit, scheme: str, width: int) -> None:
    hostile = "<img src=x onerror=alert(1)>'\"" + "x" * 200
    row = make_row(
        name=hostile[:200], instance_id="y" * 256, custom_status=json.dumps(hostile), input=json.dumps([hostile])
    )
    make_history(row, 5, Result=hostile)
    page = visit(LIST, "admin", color_scheme=scheme, viewport={"width": width, "height": 800})
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    for path in (LIST, f"{LIST}{row.instance_id}/"):
        page.goto(path)
        _is_live(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.dataset.bsTheme") == scheme
