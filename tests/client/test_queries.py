"""The read side: filters, pages that neither skip nor repeat, tokens, counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrations.client import decoding, queries
from orchestrations.client.client import DurableClient
from orchestrations.client.queries import InstanceFilter
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError, InvalidError
from orchestrations.store import hubs
from orchestrations.store.models import Instance, Schedule
from tests.bursts import drain
from tests.histories import parts_of, replace_event
from tests.people import change

HUB = "main"


def ids(**where: Any) -> list[str]:
    """The ids that a filter admits, sorted."""
    return sorted(row.instance_id for row in queries.list_instances(HUB, InstanceFilter(**where)).rows)


def start(*names: str, **options: Any) -> None:
    for name in names:
        DurableClient().start_new("plain", name, **options)


def pages(size: int, **where: Any) -> Iterator[list[str]]:
    token = ""
    while True:
        page = queries.list_instances(HUB, InstanceFilter(**where), token=token, size=size)
        yield [row.instance_id for row in page.rows]
        token = page.token
        if not token:
            return


def test_pages_hold_each_instance_once_newest_first() -> None:
    names = [f"i{n}" for n in range(7)]
    start(*names)
    assert list(pages(3)) == [["i6", "i5", "i4"], ["i3", "i2", "i1"], ["i0"]]
    assert list(pages(7)) == [names[::-1]]


def test_pages_neither_skip_nor_repeat_when_instances_are_added_and_removed_between_them() -> None:
    names = [f"i{n}" for n in range(9)]
    start(*names)
    seen: list[str] = []
    for number, page in enumerate(pages(2)):
        seen += page
        start(f"new{number}a", f"new{number}b")
        Instance.objects.filter(instance_id=page[-1]).delete()  # the page's last row is gone
    assert seen == names[::-1]


def test_instances_of_one_instant_are_paged_by_their_keys() -> None:
    start(*[f"i{n}" for n in range(5)])
    first = Instance.objects.order_by("pk")[0]
    Instance.objects.update(created_at=first.created_at)
    assert [i for page in pages(2) for i in page] == ["i4", "i3", "i2", "i1", "i0"]


def test_a_token_of_another_filter_hub_secret_or_none_at_all_is_refused(settings: Any) -> None:
    start("a", "b")
    token = queries.list_instances(HUB, InstanceFilter(), size=1).token
    bad = [("x", InstanceFilter()), (token[:-1], InstanceFilter()), (token, InstanceFilter(name_prefix="p"))]
    bad += [(token, InstanceFilter(statuses=frozenset({Status.PENDING}))), ("\x00", InstanceFilter())]
    for text, where in bad:
        with pytest.raises(InvalidError) as caught:
            queries.list_instances(HUB, where, token=text)
        assert caught.value.code == "cursor.invalid"
        assert "Start again without it" in caught.value.message
    settings.SECRET_KEY = "another" * 10
    with pytest.raises(InvalidError):
        queries.list_instances(HUB, InstanceFilter(), token=token)


def test_a_page_has_at_least_one_row_and_at_most_a_thousand() -> None:
    start("a", "b")
    assert len(queries.list_instances(HUB, InstanceFilter(), size=0).rows) == 1
    assert len(queries.list_instances(HUB, InstanceFilter(), size=-5).rows) == 1
    assert len(queries.list_instances(HUB, InstanceFilter(), size=10**9).rows) == 2


def test_statuses_and_hubs_are_told_apart() -> None:
    start("ended")
    drain()
    start("pending")
    hubs.ensure("another")
    DurableClient("another").start_new("plain", "elsewhere")
    assert ids() == ["ended", "pending"]
    assert ids(statuses=frozenset({Status.COMPLETED})) == ["ended"]
    assert ids(statuses=frozenset({Status.COMPLETED, Status.PENDING})) == ["ended", "pending"]
    assert ids(statuses=frozenset({Status.CANCELED, Status.CONTINUED_AS_NEW})) == []
    assert queries.list_hubs() == ("another", "main")


def test_prefixes_are_compared_exactly_and_literally() -> None:
    start("Abc", "abc", "a%c", "a_c", "äb")
    assert ids(instance_id_prefix="a") == ["a%c", "a_c", "abc"]
    assert ids(instance_id_prefix="A") == ["Abc"]
    assert ids(instance_id_prefix="a%") == ["a%c"]
    assert ids(instance_id_prefix="a_") == ["a_c"]
    assert ids(instance_id_prefix="ä") == ["äb"]
    assert ids(name_prefix="pl") == ["Abc", "a%c", "a_c", "abc", "äb"]
    assert ids(name_prefix="PL") == []
    assert ids(name_prefix="'; DROP TABLE x --") == []


def test_tags_are_found_by_key_and_by_value_and_by_nothing_else() -> None:
    start("red", tags={"color": "red"})
    start("Red", tags={"color": "Red", "größe": "ä"})
    start("quoted", tags={'x"color': "red", "note": '{"color":"red"} ,"color":"red"'})
    start("last", tags={"a": "b", "color": 'r"e\\d'})
    assert ids(tags=(("color", "red"),)) == ["red"]
    assert ids(tags=(("color", None),)) == ["Red", "last", "red"]
    assert ids(tags=(("größe", "ä"),)) == ["Red"]
    assert ids(tags=(("color", 'r"e\\d'), ("a", None))) == ["last"]
    assert ids(tags=(("colo", None),)) == []


def test_bounds_are_inclusive() -> None:
    start("a", "b", "c")
    drain()
    rows = list(Instance.objects.order_by("created_at"))
    first, last = rows[0].created_at, rows[-1].created_at
    assert ids(created_from=first, created_to=last) == ["a", "b", "c"]
    assert ids(created_from=first + timedelta(microseconds=1)) == ["b", "c"]
    assert ids(created_to=last - timedelta(microseconds=1)) == ["a", "b"]
    assert ids(completed_to=first) == []
    assert ids(updated_from=first, completed_from=first) == ["a", "b", "c"]


def test_parents_custom_status_and_marks_are_found() -> None:
    DurableClient().start_new("parent", "family", ["a"])
    drain()
    (child,) = queries.list_children(HUB, "family")
    assert ids(parent="family") == [child.instance_id]
    family = Instance.objects.get(instance_id="family")
    change(family, custom_status='"Half WAY"', blocked="payload")
    Schedule.objects.update(blocked_detail='{"message":"m","since":"2026-01-01T00:00:00+00:00","tries":1}')
    assert ids(custom_status="half way") == ["family"]
    assert ids(custom_status="%") == []
    assert ids(blocked=True) == ["family"]
    assert ids(blocked=False) == [child.instance_id]


def test_text_that_no_column_can_hold_finds_nothing() -> None:
    start("a")
    for text in ("\x00", "\ud800"):
        for where in ("name_prefix", "instance_id_prefix", "custom_status", "parent"):
            assert ids(**{where: text}) == []
        assert ids(tags=((text, None),)) == []
        assert ids(tags=(("a", text),)) == []
        assert queries.find_instance(HUB, text) is None
        assert queries.find_version(HUB, text) is None
        assert queries.read_status(text, "a") is None
        assert queries.list_children(HUB, text) == ()
        assert queries.list_audit(HUB, text) == ()
        with pytest.raises(InstanceNotFoundError):
            queries.list_history(HUB, text)


def test_counts_are_exact_up_to_the_bound_and_at_least_beyond() -> None:
    start(*[f"e{n}" for n in range(3)])
    drain()
    start("p1", "p2")
    found = queries.count_instances(HUB, InstanceFilter())
    assert (found.counts, found.at_least, found.total) == ({Status.PENDING: 2, Status.COMPLETED: 3}, frozenset(), 5)
    found = queries.count_instances(HUB, InstanceFilter(), limit=2)
    assert found.counts == {Status.PENDING: 2, Status.COMPLETED: 2}
    assert found.at_least == frozenset({Status.COMPLETED})
    only = queries.count_instances(HUB, InstanceFilter(instance_id_prefix="p", statuses=frozenset({Status.PENDING})))
    assert only.counts == {Status.PENDING: 2}


def test_history_is_read_from_any_event_on() -> None:
    instance_id = DurableClient().start_new("sequence", client_input=2)
    drain()
    whole = queries.list_history(HUB, instance_id)
    part = queries.list_history(HUB, instance_id, start=3, size=4)
    assert [row.sequence for row in whole.rows] == list(range(whole.total))
    assert part.rows == whole.rows[3:7]
    assert part.total == whole.total


@pytest.mark.parametrize("cut", [1, 20, 60, 85, 90, 120, 130, 131, 132, 133])
def test_the_beginning_of_an_event_has_the_members_before_its_payload(cut: int) -> None:
    members = {"EventType": "TaskCompleted", "EventId": -1, "Name": 'a"\\b', "TaskScheduledId": 12345}
    result = json.dumps({"a": "ü" * 100}, ensure_ascii=False)
    body = json.dumps(members | {"Result": result}, separators=(",", ":"), ensure_ascii=False)
    found = decoding.beginning(body[:cut])
    for name, value in list(found.items())[:-1]:
        assert members[name] == value
    if cut > 90:
        assert found["TaskScheduledId"] == 12345
        assert found["Result"].startswith('{"a": "')


def test_a_page_of_the_history_reads_the_beginning_of_long_events_only() -> None:
    instance_id = DurableClient().start_new("sequence", client_input=2)
    drain()
    place = replace_event(parts_of(instance_id), "TaskCompleted", Result=json.dumps("x" * 1_000_000))
    with CaptureQueriesContext(connection) as found:
        page = queries.list_history(HUB, instance_id, body_limit=4096)
    assert "LEFT(" in found[-1]["sql"] or "SUBSTR(" in found[-1]["sql"]
    whole = queries.list_history(HUB, instance_id)
    for short, row in zip(page.rows, whole.rows, strict=True):
        assert short == row or (len(short.members["Result"]) < 5000 and short.members.keys() == row.members.keys())
    assert len(whole.rows[place].members["Result"]) > 1_000_000
