"""The list and the pages of one instance: what they show, what they cost, what they survive."""

from __future__ import annotations

import json
import re
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.client import queries
from orchestrations.engine.state import Status
from orchestrations.store import clock
from orchestrations.store.models import ActivityTask, Instance
from orchestrations.web import payloads
from orchestrations.web.filters import ListFilter
from tests.histories import append
from tests.people import HUB, change, make_history, make_row, waiting_for
from tests.web.conftest import SignedIn

LIST = f"/hubs/{HUB}/instances/"
STATEMENTS = 21
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e{{ 7 }}"


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)


def _ids(html: str) -> list[str]:
    return re.findall(r'data-copy="([^"]+)"', html)


def _text(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    return response.content.decode()


def test_filter_round_trip() -> None:
    where = ListFilter((Status.RUNNING, Status.FAILED), name="Ord er&", id="a=b", blocked=True)
    assert ListFilter.read(where.query) == where
    assert ListFilter.read(where.toggled(Status.FAILED).query).statuses == (Status.RUNNING,)
    assert ListFilter.read("status=Nope&name=%00%ED%A0%80x&after=q").unknown == ("Nope",)
    assert ListFilter.read("").is_empty


def test_list_shows_what_the_address_asks_for(signed_in: SignedIn) -> None:
    make_row(instance_id="a-1", name="Order", status=Status.FAILED)
    make_row(instance_id="b-2", name="Invoice", waiting=waiting_for("Paid"))
    client = signed_in("viewer")
    assert set(_ids(_text(client, LIST))) == {"a-1", "b-2"}
    assert _ids(_text(client, f"{LIST}?status=Failed")) == ["a-1"]
    assert _ids(_text(client, f"{LIST}?name=Inv")) == ["b-2"]
    assert _ids(_text(client, f"{LIST}?id=b-")) == ["b-2"]
    assert "<strong>Paid</strong>" in _text(client, f"{LIST}?id=b-")


def test_pages_by_keyset(signed_in: SignedIn) -> None:
    rows = [make_row() for _ in range(120)]
    client, path, seen = signed_in("viewer"), LIST, []
    for _ in range(3):
        html = _text(client, path)
        seen += _ids(html)
        older = re.search(r'href="([^"]+)" rel="next"|rel="next" href="([^"]+)"', html) or re.search(
            r'class="btn" rel="next" href="([^"]+)"', html
        )
        path = next(g for g in older.groups() if g).replace("&amp;", "&") if older else ""
    assert not path
    assert len(seen) == len(set(seen)) == len(rows)


@pytest.mark.parametrize(
    "query", ["after=nonsense", "status=%27;DROP", "name=%3Cb%3E", "id=" + "x" * 5000, "blocked=%00"]
)
def test_nonsense_in_the_address_is_no_error(signed_in: SignedIn, query: str) -> None:
    make_row()
    assert "<b>" not in _text(signed_in("viewer"), f"{LIST}?{query}")


def test_empty_states_name_their_cause(signed_in: SignedIn) -> None:
    client = signed_in("viewer")
    assert "Nothing has been started yet" in _text(client, LIST)
    assert "Clear the filter" in _text(client, f"{LIST}?status=Failed")


def test_statements_do_not_grow_with_rows(signed_in: SignedIn) -> None:
    client = signed_in("viewer")
    counts = []
    for number in (1, 49):
        for _ in range(number):
            make_row(waiting=waiting_for("A", "B"), parent=make_row())
        with CaptureQueriesContext(
            connection,
        ) as found:
            _text(client, LIST)
        counts.append(len(found))
    assert counts[0] == counts[1] <= STATEMENTS


def test_statements_of_an_instance_do_not_grow_with_its_history(signed_in: SignedIn) -> None:
    client, row = signed_in("admin"), make_row()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as found:
            _text(client, f"{LIST}{row.instance_id}/")
        counts.append(len(found))
        make_history(row, 1000)
    assert counts[0] == counts[1] <= STATEMENTS


def test_long_history_comes_in_chunks_and_keeps_their_places(signed_in: SignedIn) -> None:
    row = make_row()
    make_history(row, 1050)
    client = signed_in("viewer")
    html = _text(client, f"{LIST}{row.instance_id}/")
    assert html.count('class="spacer"') == 5
    assert html.count('<tr id="event-') == 50
    assert 'height="6400"' in html
    path = f"{LIST}{row.instance_id}/history/?from=399"
    chunk = client.get(path, headers={"HX-Request": "true"}).content.decode()
    assert 'id="event-200"' in chunk
    assert 'id="event-399"' in chunk
    plain = client.get(path)
    assert plain.status_code == 302
    assert 'id="event-399"' in _text(client, plain["Location"])


@pytest.mark.parametrize(
    "instance_id", ["a b", "ä&ö;=+,%", "x'\"<y>", "order@1:2", "~!$()*[]{}|^`", "%2F", "日本", "x" * 256]
)
def test_every_legal_id_has_a_page(signed_in: SignedIn, instance_id: str) -> None:
    make_row(instance_id=instance_id)
    client = signed_in("operator")
    match = re.search(r'<td class="c-name"><a href="([^"]+)"', _text(client, LIST))
    assert match
    page = _text(client, match[1].replace("&amp;", "&").replace("&#x27;", "'"))
    assert "suspension/" in page


def test_one_event_and_payloads(signed_in: SignedIn) -> None:
    text = json.dumps({"text": "x" * 40_000})
    row = make_row(input=text, output="not json", status=Status.COMPLETED)
    make_history(row, 3, Input='{"n":1}')
    client, base = signed_in("viewer"), f"{LIST}{row.instance_id}/"
    assert "Show more" in _text(client, base)
    assert "x" * 40_000 in _text(client, f"{base}payloads/input/")
    response = client.get(f"{base}payloads/input/?download")
    assert response["Content-Disposition"] == 'attachment; filename="input.json"'
    assert response.content.decode() == text
    assert "Charge" in _text(client, f"{base}history/1/")
    for path in ("history/4/", "history/99999999999/", "payloads/nonsense/", "payloads/custom-status/"):
        _text(client, base + path, 404)
    _text(client, f"{LIST}nothing/", 404)
    assert "not JSON" in _text(client, base)


PAYLOADS = {
    "nested": json.dumps([json.loads("[" * 56 + "1" + "]" * 56) for _ in range(9_000)], separators=(",", ":")),
    "numbers": json.dumps([1] * 500_000, separators=(",", ":")),
    "quotes": json.dumps("\"'<&" * 200_000),
    "control characters": json.dumps("\u0085\u202e" * 200_000, ensure_ascii=False),
    "many keys": json.dumps({f"k{n}": None for n in range(80_000)}, separators=(",", ":")),
    "one line of no JSON": "\u202e" * 300_000,
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_payload_makes_a_page_that_is_slow_or_big(name: str, signed_in: SignedIn) -> None:
    text = PAYLOADS[name]
    row = make_row(input=text, output=text, status=Status.COMPLETED)
    make_history(row, 1, Input=text, Result=text)
    client, base = signed_in("viewer"), f"{LIST}{row.instance_id}/"
    client.get(LIST)  # compiles templates
    for path in (f"{base}payloads/input/", base, f"{base}history/0/"):
        begin = time.process_time()
        html = _text(client, path)
        assert time.process_time() - begin < 1.0, path
        assert len(html.encode()) < 1_000_000, path
        assert "?download" in html or "history/0/" in path
    assert client.get(f"{base}payloads/input/?download").content.decode() == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        _nested,
    )
)
def test_payloads_are_indented_as_json_is(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    expected = json.dumps(value, ensure_ascii=False, indent=2)
    parts = payloads.pretty(text, len(expected))
    assert "".join(text for _, text in parts) == expected
    assert expected.startswith("".join(text for _, text in payloads.pretty(text, 10))[:10])


@pytest.mark.parametrize("text", ["not json", "[1 2]", "{", "[1,]", '"x', "nan", "", "1}", '{"a"}'])
def test_what_is_no_json_is_shown_as_it_is(text: str) -> None:
    view = payloads.present("output", "Output", text)
    assert view
    assert (view.is_json, view.is_cut, view.text) == (False, False, text)


def test_another_execution_has_other_chunks(signed_in: SignedIn) -> None:
    row = make_row()
    make_history(row, 450)
    client = signed_in("viewer")
    before = set(re.findall(r'id="(history-[^"]+|peek-[^"]+)"', _text(client, f"{LIST}{row.instance_id}/")))
    change(row, execution=uuid.uuid4().hex, position=0)
    make_history(row, 450)
    after = set(re.findall(r'id="(history-[^"]+|peek-[^"]+)"', _text(client, f"{LIST}{row.instance_id}/")))
    assert len(before) == len(after) == 3 + 50
    assert not before & after


def test_lists_and_heads_read_no_payload(signed_in: SignedIn) -> None:
    """Neither the rows' own nor their parents', which may be a mebibyte each."""
    parent = make_row(input='"secret"', output='"secret"', failure="{}")
    row = make_row(parent=parent, input='"secret"', output='"secret"')
    client = signed_in("operator")
    html = _text(client, f"{LIST}{row.instance_id}/")
    wide = re.compile(r'(?<!LEFT\()(?<!SUBSTR\()"orchestrations_payload"."(output|failure)"|"body"')
    for path in (LIST, f"{LIST}?blocked=1", f"{LIST}?name=O", *re.findall(r'hx-get="(/live/regions/[^"]+)"', html)):
        with CaptureQueriesContext(connection) as found:
            answer = client.get(path)
        assert answer.status_code == 200
        if not re.search(r'data-live="(data|history)"', answer.content.decode()):
            assert not [query["sql"] for query in found if wide.search(query["sql"])]


def test_everything_that_is_waited_for_is_told(signed_in: SignedIn) -> None:
    since = (clock.now() - timedelta(minutes=2)).isoformat()
    until = (clock.now() + timedelta(minutes=9)).isoformat()
    waits: list[dict[str, Any]] = [{"kind": "activity", "name": "SlowStep", "since": since}] * 17
    waits += [{"kind": "event", "name": "Approval", "since": since}, {"kind": "timer", "until": until}]
    waits += [{"kind": "retry", "name": "Charge", "until": until, "count": 3}, {"kind": "more", "count": 480}]
    row = make_row(waiting=json.dumps(waits))
    client = signed_in("viewer")
    html = re.sub(r"<time[^>]*>[^<]*</time>|</?strong>", "", _text(client, f"{LIST}{row.instance_id}/"))
    assert "Decision Approval , timer" in html
    assert "+ 498 more" in html
    for text in ("Activity SlowStep × 17", "Retry of Charge , attempt 3", "Timer, fires", "and 480 more"):
        assert text in html
    assert "+ 498 more" in _text(client, LIST)


def test_the_list_says_why_an_instance_ended_as_it_did(signed_in: SignedIn) -> None:
    long = 'Card \\"4242\\" was declined, ü ' + "\U0001f4a5" * 2_000
    failure = json.dumps(
        {"ErrorType": "CardDeclined", "ErrorMessage": long, "StackTrace": "x" * 9_000}, separators=(",", ":")
    )
    make_row(status=Status.FAILED, failure=failure)
    make_row(status=Status.TERMINATED, status_reason="duplicate order", output='"duplicate order"')
    make_row(status=Status.SUSPENDED, status_reason="bank holiday")
    make_row(status=Status.FAILED, failure="{}")
    html = _text(signed_in("viewer"), LIST)
    assert "CardDeclined: Card " in html
    assert "was declined, ü" in html
    assert "duplicate order" in html
    assert ": bank holiday" in html


def test_a_filter_keeps_all_its_parts_while_one_types(signed_in: SignedIn) -> None:
    client = signed_in("viewer")
    html = _text(client, f"{LIST}?status=Failed&status=Running&name=x")
    for status in ("Failed", "Running"):
        assert f'<input type="hidden" name="status" value="{status}">' in html
    html = _text(client, f"{LIST}?blocked=1")
    assert '<input type="hidden" name="blocked" value="1">' in html
    assert "Nothing is stuck" in html
    assert 'id="chip-all" class="chip" href="/hubs/main/instances/">' in html
    headers = {"HX-Request": "true", "HX-Target": "listing"}
    answer = client.get(f"{LIST}?status=Failed&name=x&id=", headers=headers)
    assert answer["HX-Replace-Url"] == f"{LIST}?status=Failed&name=x"


def _defer_an_activity_of(row: Instance) -> None:
    """As a worker does that does not know the function."""
    now = clock.now()
    ActivityTask.objects.create(
        instance=row,
        execution="x",
        sequence=1,
        name="Ecko",
        queue="q",
        created_at=now,
        due_at=now,
        blocked="missing-function",
    )


def test_an_instance_whose_activity_nobody_knows_is_stuck_everywhere(signed_in: SignedIn) -> None:
    row = make_row(waiting=json.dumps([{"kind": "activity", "name": "Ecko"}]))
    make_row()
    client = signed_in("viewer")
    regions = re.findall(r'data-tag="(\w+)" hx-get="(/live/regions/[^"]+)"', _text(client, LIST))
    _defer_an_activity_of(row)
    changed = [url for tag, url in regions if client.get(url, headers={"X-Region-Tag": tag}).status_code == 200]
    assert len(changed) == 1, "the rows are shown again, though no revision has changed"
    assert _ids(_text(client, f"{LIST}?blocked=1")) == [row.instance_id]
    assert len(_ids(_text(client, LIST))) == 2
    html = _text(client, f"{LIST}{row.instance_id}/")
    assert "Stuck: no worker knows its function" in html
    assert "Activity &#x27;Ecko&#x27; is not registered on any live worker" in html
    criteria = queries.InstanceFilter(blocked=False)
    assert row.instance_id not in [r.instance_id for r in queries.list_instances(HUB, criteria).rows]


def test_counts_are_those_of_the_filter(signed_in: SignedIn) -> None:
    detail = json.dumps({"since": "2026-03-01T00:00:00Z", "message": "?", "tries": 2})
    make_row(blocked="payload", blocked_detail=detail)
    for _ in range(3):
        make_row()
    html = _text(signed_in("viewer"), f"{LIST}?blocked=1")
    assert re.search(r'id="chip-running".*?<span class="chip-count">1</span>', html, re.DOTALL)


def test_a_history_names_what_was_retried_and_says_when_timers_fire(signed_in: SignedIn) -> None:
    row = make_row()
    make_history(row, 1)
    number = {"EventId": 0, "Name": None}
    make_history(row, 1, EventType="TimerCreated", FireAt="2026-03-01T09:00:00.1234567Z", **number)
    make_history(row, 1, EventType="TaskFailed", TaskScheduledId=0, Name=None)
    html = _text(signed_in("viewer"), f"{LIST}{row.instance_id}/")
    failed = html[html.index('id="event-2"') :]
    assert ">Charge<" in failed
    timer = html[html.index('id="event-1"') : html.index('id="event-2"')]
    assert 'datetime="2026-03-01T09:00:00.123456+00:00"' in timer
    assert "2026-03-01T09:00:00.1234567Z" not in timer


def test_completions_far_from_what_they_complete_have_its_name(signed_in: SignedIn) -> None:
    """A fan-out of 300: the completions are in other chunks than what was scheduled."""
    row = make_row()
    with_numbers: list[dict[str, Any]] = [
        {
            "EventType": "TaskScheduled",
            "EventId": n,
            "Timestamp": "2026-03-01T08:00:00Z",
            "Name": f'Step "{n}"',
            "Input": "1",
        }
        for n in range(300)
    ]
    with_numbers += [
        {"EventType": "TaskCompleted", "EventId": -1, "Timestamp": "2026-03-01T08:00:00Z", "TaskScheduledId": n}
        for n in range(300)
    ]
    append(row.pk, row.schedule.execution, 0, with_numbers)
    change(row, position=600)
    client = signed_in("viewer")
    html = _text(client, f"{LIST}{row.instance_id}/?from=400")
    assert 'title="Step &quot;299&quot;"' in html[html.index('id="event-599"') :]
    assert ">#" not in html[html.index('id="event-400"') :]
    assert "Step &quot;299&quot;" in _text(client, f"{LIST}{row.instance_id}/history/599/")


def test_unknown_kinds_and_statuses_are_shown_plainly(signed_in: SignedIn) -> None:
    waiting = json.dumps([{"kind": "moon", "name": "full"}])
    row = make_row(
        blocked="strange", blocked_detail=json.dumps({"since": "2026-03-01T00:00:00Z", "message": "?", "tries": 2})
    )
    make_row(waiting=waiting, custom_status="{broken", status=Status.CONTINUED_AS_NEW)
    make_history(row, 1, EventType="MoonRose", Timestamp="yesterday")
    client = signed_in("admin")
    assert "Stuck" in _text(client, LIST)
    html = _text(client, f"{LIST}{row.instance_id}/")
    assert "MoonRose" in html
    assert "yesterday" in html


def test_hostile_text_stays_text(signed_in: SignedIn) -> None:
    failure = {"ErrorType": HOSTILE, "ErrorMessage": HOSTILE, "StackTrace": HOSTILE}
    row = make_row(
        instance_id="'\"><script>x<!--",
        name=HOSTILE,
        version=HOSTILE,
        status=Status.FAILED,
        tags=json.dumps({HOSTILE: HOSTILE, "durabletask.displayName": HOSTILE}),
        input=json.dumps(HOSTILE),
        output=HOSTILE,
        failure=json.dumps(failure),
        custom_status=json.dumps(HOSTILE),
        status_reason=HOSTILE,
        waiting=waiting_for(HOSTILE),
    )
    make_history(row, 2, Name=HOSTILE, Result=HOSTILE, EventType=HOSTILE[:39])
    make_row(
        parent=row,
        name=HOSTILE,
        waiting=waiting_for(HOSTILE),
        blocked="x",
        blocked_detail=json.dumps({"since": "2026-03-01T00:00:00Z", "message": HOSTILE, "tries": 1}),
    )
    client = signed_in("boss", "admin", "approver")
    base = re.search(r'href="([^"]+)">&lt;script', _text(client, LIST + "?status=Failed"))
    assert base
    address = base[1].replace("&amp;", "&").replace("&#x27;", "'")
    for path in (
        LIST,
        f"{LIST}?name=%3Cscript&id=%22%3E",
        address,
        f"{address}history/1/",
        f"{address}payloads/output/",
    ):
        html = _text(client, path)
        assert "<script>alert" not in html
        assert "<script>x" not in html
        assert "<img src=x" not in html
        assert "\u202e" not in re.sub(r'data-copy="[^"]*"|value="[^"]*"', "", html)


# --- the rules for all pages --------------------------------------------------------------------------------------
def test_nothing_inline_and_nothing_from_elsewhere(signed_in: SignedIn) -> None:
    row = make_row(waiting=waiting_for("Approval", "Paid"), input="{}", parent=make_row())
    make_history(row, 450)
    client = signed_in("boss", "admin", "approver")
    pages = [
        LIST,
        f"{LIST}{row.instance_id}/",
        f"{LIST}{row.instance_id}/terminations/new/",
        f"{LIST}{row.instance_id}/history/1/",
    ]
    for html in [*(_text(client, path) for path in pages), _text(Client(), "/sign-in/")]:
        assert not re.search(r"\sstyle\s*=", html)
        assert not re.search(r"\son\w+\s*=|hx-on|javascript:", html)
        assert not re.search(r"<style|<script(?![^>]*\ssrc=)", html)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
        assert len(re.findall(r'\sid="([^"]+)"', html)) == len(set(re.findall(r'\sid="([^"]+)"', html)))


def test_policy_is_strict_and_pages_stay_out_of_caches(signed_in: SignedIn) -> None:
    response = signed_in("viewer").get(LIST)
    assert "unsafe" not in response["Content-Security-Policy"]
    assert response["Cache-Control"] == "no-store"
    assert "HX-Request" in response["Vary"]


def test_strangers_see_nothing_and_nobody_is_sent_to_sign_in(signed_in: SignedIn) -> None:
    row = make_row()
    for path in (LIST, f"{LIST}{row.instance_id}/"):
        response = Client().get(path)
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/sign-in/")
        assert signed_in("stranger").get(path).status_code == 404
    assert signed_in("viewer").get("/hubs/other/instances/").status_code == 404


def test_viewer_sees_the_buttons_disabled_with_the_reason(signed_in: SignedIn) -> None:
    row = make_row(waiting=waiting_for("Approval"))
    html = _text(signed_in("viewer"), f"{LIST}{row.instance_id}/")
    assert "Needs the role operator or admin." in html
    assert "Needs the role approver." in html
    assert 'data-live="audit"' not in html


def test_style_sheet_knows_every_status() -> None:
    from pathlib import Path

    from django.conf import settings

    from orchestrations.web.presenters.rows import status_slugs

    css = (Path(settings.BASE_DIR) / "static/css/tokens.css").read_text()
    for slug in status_slugs():
        assert css.count(f"--status-{slug}:") == 2
        assert f".status-{slug}" in css
