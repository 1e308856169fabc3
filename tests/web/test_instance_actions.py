"""Acting from pages: with htmx and without, once, and never by surprise."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from orchestrations.client import queries
from orchestrations.control.decisions import list_open
from orchestrations.engine.state import Status
from orchestrations.store.models import AuditEntry, InboxMessage, Instance
from tests.people import HUB, change, make_row, waiting_for
from tests.web.conftest import SignedIn

LIST = f"/hubs/{HUB}/instances/"
HTMX = {"HX-Request": "true"}


def _url(row: Instance, noun: str = "") -> str:
    return f"{LIST}{row.instance_id}/{noun}"


def _seen(row: Instance, **more: str) -> dict[str, str]:
    return {"revision": str(row.schedule.revision), "status": row.status, **more}


def test_plain_form_redirects_with_a_message(signed_in: SignedIn) -> None:
    row, client = make_row(), signed_in("operator")
    response = client.post(_url(row, "suspension/"), _seen(row), follow=True)
    assert response.redirect_chain == [(_url(row), 302)]
    assert "Suspended." in response.content.decode()
    assert InboxMessage.objects.get().kind == "ExecutionSuspended"


def test_htmx_gets_a_note_and_word_that_something_was_done(signed_in: SignedIn) -> None:
    row = make_row(status=Status.SUSPENDED)
    response = signed_in("operator").post(_url(row, "suspension/"), _seen(row, _method="delete"), headers=HTMX)
    assert response.status_code == 202
    assert "acted" in response["HX-Trigger"]
    assert InboxMessage.objects.get().kind == "ExecutionResumed"


def test_double_click_is_one_event(signed_in: SignedIn) -> None:
    row, client = make_row(), signed_in("operator")
    data = _seen(row, event_name="Paid", event_data='{"n": 1}', event_id=uuid.uuid4().hex)
    for _ in range(2):
        assert client.post(_url(row, "events/"), data, headers=HTMX).status_code == 202
    assert InboxMessage.objects.count() == AuditEntry.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_bad_json_keeps_the_text_and_points_at_it(signed_in: SignedIn, headers: dict[str, str]) -> None:
    row = make_row()
    data = _seen(row, event_name="Paid", event_data='{"a": 1,\n oops}')
    response = signed_in("operator").post(_url(row, "events/"), data, headers=headers)
    html = response.content.decode()
    assert response.status_code == 422
    assert "line 2 column 2" in html
    assert "oops}" in html
    assert "\n ^" in html
    assert 'aria-describedby="event-data-error"' in html
    assert not InboxMessage.objects.exists()
    if headers:
        assert response["HX-Retarget"] == "#event-form"
        assert 'id="event-form"' in html


def test_termination_asks_why_on_a_page_of_its_own(signed_in: SignedIn) -> None:
    row, client = make_row(), signed_in("operator")
    assert "Terminate this instance?" in client.get(_url(row, "terminations/new/")).content.decode()
    assert client.post(_url(row, "terminations/"), _seen(row, reason=" ")).status_code == 422
    assert client.post(_url(row, "terminations/"), _seen(row, reason="enough")).status_code == 302
    assert AuditEntry.objects.get().reason == "enough"


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_stale_page_is_told_what_changed_and_may_go_on(signed_in: SignedIn, headers: dict[str, str]) -> None:
    row, client = make_row(), signed_in("operator")
    data = _seen(row, event_name="Paid", event_id="t")
    change(row, status=Status.SUSPENDED, revision=row.schedule.revision + 1)
    response = client.post(_url(row, "events/"), data, headers=headers)
    html = response.content.decode()
    assert response.status_code == 409
    assert "it was Running and is Suspended since" in html
    assert "Apply anyway" in html
    assert 'name="event_name" value="Paid"' in html
    assert not InboxMessage.objects.exists()
    assert client.post(_url(row, "events/"), {**data, "anyway": "on"}, headers=HTMX).status_code == 202


def test_ended_instance_takes_nothing(signed_in: SignedIn) -> None:
    row = make_row(status=Status.COMPLETED)
    response = signed_in("operator").post(_url(row, "terminations/"), {"reason": "x"}, headers=HTMX)
    assert response.status_code == 409
    assert "Completed since" in response.content.decode()


def test_decision_once_and_the_loser_reads_whose_it_was(signed_in: SignedIn) -> None:
    row = make_row(waiting=waiting_for("Approval"))
    (decision_id, _), *_ = list_open(queries.get_instance(HUB, row.instance_id))
    ana, ben = signed_in("Ana", "approver"), signed_in("Ben", "approver")
    for data in ({"outcome": "rejected"}, {"outcome": "maybe", "comment": "x"}):
        assert ana.post(_url(row, "decisions/"), {"decision_id": decision_id, **data}, headers=HTMX).status_code == 422
    data = {"decision_id": decision_id, "outcome": "rejected", "comment": "too dear"}
    assert ana.post(_url(row, "decisions/"), data, headers=HTMX).status_code == 202
    response = ben.post(_url(row, "decisions/"), {**data, "outcome": "approved"}, headers=HTMX)
    assert response.status_code == 409
    assert "Already rejected by Ana at" in response.content.decode()
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "result")) == [
        ("Ana", "done"),
        ("Ben", "refused"),
    ]


def test_start(signed_in: SignedIn) -> None:
    client, token = signed_in("operator"), uuid.uuid4().hex
    data = {"name": "E1_HelloSequence", "client_input": "", "token": token}
    for _ in range(2):  # a double click
        response = client.post(LIST, data)
        assert response["Location"].endswith(f"/instances/{token}/")
    assert Instance.objects.count() == 1
    bad = {"name": "Nope", "instance_id": "a/b", "client_input": "{", "token": uuid.uuid4().hex}
    for headers in ({}, HTMX):
        response = client.post(LIST, bad, headers=headers)
        html = response.content.decode()
        assert response.status_code == 422
        assert "may not be in an id" in html
        assert 'value="a/b"' in html
    response = client.post(LIST, {"name": "E1_HelloSequenc", "token": uuid.uuid4().hex}, headers=HTMX)
    assert "Did you mean" in response.content.decode()
    taken = client.post(LIST, {"name": "E1_HelloSequence", "instance_id": token, "token": uuid.uuid4().hex})
    assert taken.status_code == 422
    assert "already exists" in taken.content.decode()
    assert Instance.objects.count() == 1


NOUNS = {
    "events/": {"event_name": "Paid"},
    "suspension/": {},
    "terminations/": {"reason": "x"},
    "decisions/": {"decision_id": "d", "outcome": "approved"},
}


@pytest.mark.parametrize("noun", NOUNS)
def test_viewer_changes_nothing_and_that_is_recorded(signed_in: SignedIn, noun: str) -> None:
    row = make_row(waiting=waiting_for("Approval"))
    for headers in ({}, HTMX):
        assert signed_in("viewer").post(_url(row, noun), NOUNS[noun], headers=headers).status_code == 403
    assert signed_in("viewer").post(LIST, {"name": "E1_HelloSequence", "token": uuid.uuid4().hex}).status_code == 403
    assert not InboxMessage.objects.exists()
    assert Instance.objects.count() == 1
    assert list(AuditEntry.objects.values_list("result", flat=True)) == ["denied"] * 3


@pytest.mark.parametrize("noun", ["", *NOUNS])
def test_without_token_or_session_nothing_is_done(signed_in: SignedIn, noun: str) -> None:
    row = make_row()
    url = _url(row, noun) if noun else LIST
    strict = signed_in("operator", enforce_csrf_checks=True)
    assert strict.post(url, NOUNS.get(noun, {})).status_code == 403
    assert Client().post(url, NOUNS.get(noun, {}), headers=HTMX).status_code == 401
    assert Client().post(url, NOUNS.get(noun, {})).status_code == 302
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize("noun", NOUNS)
def test_get_does_nothing(signed_in: SignedIn, noun: str) -> None:
    assert signed_in("operator").get(_url(make_row(), noun)).status_code == 405


def test_unknown_instance(signed_in: SignedIn) -> None:
    response = signed_in("operator").post(f"{LIST}nothing/suspension/", {}, headers=HTMX)
    assert response.status_code == 404
    assert "No instance with ID" in response.content.decode()


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("approver", False), ("operator", True), ("admin", True)])
def test_the_form_of_an_event_is_shown_to_who_may_send_one(signed_in: SignedIn, role: str, may: bool) -> None:
    html = signed_in(role).get(_url(make_row())).content.decode()
    assert ('name="event_name"' in html) is may
    assert 'id="event-form"' in html
