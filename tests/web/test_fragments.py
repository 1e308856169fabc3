"""Page, refresh and answer agree on every region, and its tag changes whenever it does."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.test import Client

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.control import audit
from orchestrations.engine.state import Status
from orchestrations.live.consumers import LiveConsumer
from orchestrations.store.models import Instance
from orchestrations.web import fragments
from orchestrations.web.regions import Region, read_key
from tests.people import HUB, change, make_actor, make_history, make_row, waiting_for
from tests.web.conftest import SignedIn

LIST, DETAIL = {"counts", "newer", "rows"}, {"summary", "actions", "data", "history", "children", "audit"}
REGION = re.compile(r'data-live="(\w+)" data-key="([^"]+)" data-tag="(\w+)" hx-get="([^"]+)"')
VOLATILE = re.compile(r'name="(csrfmiddlewaretoken|event_id)" value="[^"]*"')


def regions_of(html: str) -> dict[str, tuple[str, str, str]]:
    """Return name → key, tag, address of the live regions in a page."""
    return {name: (key, tag, url) for name, key, tag, url in REGION.findall(html)}


def _page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_each_region_is_the_same_in_the_page_and_as_its_refresh(signed_in: SignedIn) -> None:
    row = make_row(waiting=waiting_for("Approval"), input='{"a":1}')
    make_row(parent=row, status=Status.FAILED)
    make_history(row, 3)
    client = signed_in("boss", "admin", "approver")
    found: set[str] = set()
    for path in (f"/hubs/{HUB}/instances/", f"/hubs/{HUB}/instances/{row.instance_id}/"):
        html = _page(client, path)
        for name, (_, _, url) in regions_of(html).items():
            part = client.get(url, headers={"HX-Request": "true"}).content.decode()
            assert VOLATILE.sub("", part).strip() in VOLATILE.sub("", html), f"{name} differs"
            found.add(name)
    assert found == LIST | DETAIL == set(fragments.KINDS)


def test_unchanged_region_answers_204_and_a_changed_one_its_fragment(signed_in: SignedIn) -> None:
    row = make_row()
    client = signed_in("viewer")
    for _, tag, url in regions_of(_page(client, f"/hubs/{HUB}/instances/{row.instance_id}/")).values():
        assert client.get(url, headers={"X-Region-Tag": tag}).status_code == 204
        assert client.get(url, headers={"X-Region-Tag": "old"}).status_code == 200


def _change_row(row: Instance) -> None:
    change(row, custom_status='"on"', revision=row.schedule.revision + 5)


def _end(row: Instance) -> None:
    change(row, status=Status.COMPLETED, output="1", revision=row.schedule.revision + 6)


CHANGES: dict[str, Callable[[Instance], object]] = {
    "rows": _change_row,
    "counts": lambda row: make_row(),
    "newer": lambda row: DurableClient().start_new("E1_HelloSequence"),
    "summary": _change_row,
    "actions": _end,
    "data": _end,
    "history": lambda row: make_history(row, 2),
    "children": lambda row: make_row(parent=row),
    "audit": lambda row: audit.record(HUB, make_actor("operator"), "suspend", instance_id=row.instance_id),
}


@pytest.mark.parametrize("name", fragments.KINDS)
def test_tag_changes_with_what_the_region_shows(name: str, signed_in: SignedIn) -> None:
    row = make_row()
    client = signed_in("boss", "admin", "approver")
    path = f"/hubs/{HUB}/instances/" + ("" if name in LIST else f"{row.instance_id}/")
    _, tag, url = regions_of(_page(client, path))[name]
    CHANGES[name](row)
    response = client.get(url, headers={"X-Region-Tag": tag})
    assert response.status_code == 200
    assert f'data-tag="{tag}"' not in response.content.decode()


def test_tag_asked_for_alone_is_the_tag_of_the_fragment(signed_in: SignedIn) -> None:
    row = make_row(waiting=waiting_for("Paid"))
    actor = make_actor("boss", "admin")
    html = _page(signed_in("boss", "admin"), f"/hubs/{HUB}/instances/{row.instance_id}/")
    html += _page(signed_in("boss", "admin"), f"/hubs/{HUB}/instances/")
    for name, (key, shown, _) in regions_of(html).items():
        region = read_key(key)
        assert region is not None
        assert fragments.tag(region, actor) == shown, name


def test_progress_leaves_the_actions_alone(signed_in: SignedIn) -> None:
    row = make_row()
    _, tag, url = regions_of(_page(signed_in(), f"/hubs/{HUB}/instances/{row.instance_id}/"))["actions"]
    _change_row(row)
    assert signed_in().get(url, headers={"X-Region-Tag": tag}).status_code == 204


def test_rows_keep_their_places_when_others_come_and_some_leave_the_filter(signed_in: SignedIn) -> None:
    rows = [make_row() for _ in range(3)]
    client = signed_in()
    html = _page(client, f"/hubs/{HUB}/instances/?status=Running")
    _, _, url = regions_of(html)["rows"]
    change(rows[1], status=Status.COMPLETED, revision=9)
    make_row()
    fresh = client.get(url).content.decode()
    order = [row.instance_id for row in sorted(rows, key=lambda r: (r.created_at, r.pk), reverse=True)]
    assert re.findall(r'data-copy="(\w+)"', fresh) == order
    assert fresh.count("Has left the filter") == 1
    newer = client.get(regions_of(html)["newer"][2]).content.decode()
    assert "<strong>1 new</strong>" in newer


def test_nobody_reads_a_region_he_may_not() -> None:
    row = make_row()
    region = Region("audit", HUB, row.instance_id)
    assert fragments.render(region, make_actor("operator")) is None
    assert fragments.tag(region, make_actor("operator")) is None
    assert fragments.render(Region("nonsense", HUB), make_actor("admin")) is None


def test_keys_are_signed(signed_in: SignedIn) -> None:
    key = Region("audit", HUB, "x").key
    assert read_key(key) == Region("audit", HUB, "x")
    for bad in (key[:-1], "", None, 7, "x" * 5000, key.replace(":", "")):
        assert read_key(bad) is None
    assert signed_in().get("/live/regions/nonsense/").status_code == 404
    assert Client().get(f"/live/regions/{key}/", headers={"HX-Request": "true"}).status_code == 401


def test_region_of_what_is_gone_is_404(signed_in: SignedIn) -> None:
    assert signed_in().get(Region("summary", HUB, "gone").url).status_code == 404


def test_keys_of_the_longest_filter_fit_into_an_address_and_a_frame(signed_in: SignedIn) -> None:
    """Two hundred characters each, all different and three bytes long, on a page of fifty rows."""
    chance = random.Random(7)
    name, start = ("".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(200)) for _ in range(2))
    rows = [make_row(name=name, instance_id=f"{start}{number}") for number in range(50)]
    snapshot = queries.make_snapshot(HUB, [row.instance_id for row in rows])
    found = queries.list_snapshot(HUB, snapshot)
    assert [row.instance_id for row in found] == [row.instance_id for row in reversed(rows)]
    html = _page(signed_in("viewer"), f"/hubs/{HUB}/instances/?{urlencode({'name': name, 'id': start})}")
    keys = [key for key, _, _ in regions_of(html).values()]
    assert len(keys) == 3
    assert all(read_key(key) for key in keys)
    assert len(json.dumps({"t": "watch", "keys": keys})) < LiveConsumer.frame_limit
