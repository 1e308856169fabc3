"""Signing in and out."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.test import Client

from orchestrations.control import sign_in
from orchestrations.store.models import AuditEntry
from tests.people import PASSWORD, make_row, make_user
from tests.web.conftest import SignedIn


def test_password_signs_in_and_goes_where_one_wanted_to() -> None:
    make_user("operator")
    client = Client()
    data = {"username": "operator", "password": PASSWORD, "next": "/hubs/main/instances/?status=Failed"}
    response = client.post("/sign-in/", data)
    assert response["Location"] == data["next"]
    assert client.get("/hubs/main/instances/").status_code == 200
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/hubs/main/instances/").status_code == 302


@pytest.mark.parametrize(
    "place", ["//evil.example", "https://evil.example/", "javascript:alert(1)", "/\\evil.example", ""]
)
def test_next_is_a_path_of_ours(place: str) -> None:
    make_user("operator")
    data = {"username": "operator", "password": PASSWORD, "next": place}
    assert Client().post("/sign-in/", data)["Location"] == "/"


SPELLINGS = [" operator", "operator ", "\toperator", "\uff4fperator", "operator\u3000", "operator"]
"""What the form takes for one and the same name."""


def test_a_name_has_five_wrong_passwords_however_it_is_spelt() -> None:
    make_user("operator")
    names = SPELLINGS * 2
    statuses = [Client().post("/sign-in/", {"username": name, "password": "wrong"}).status_code for name in names]
    assert statuses == [422] * 5 + [429] * 7
    for name in SPELLINGS:
        right = Client().post("/sign-in/", {"username": name, "password": PASSWORD})
        assert right.status_code == 429
        assert 0 < int(right["Retry-After"]) <= 180
        assert "Too many wrong passwords. Try again in 3 min" in right.content.decode()
    assert set(AuditEntry.objects.filter(result="denied").values_list("actor", flat=True)) == {"operator"}
    elsewhere = Client(REMOTE_ADDR="198.51.100.7").post("/sign-in/", {"username": "operator", "password": PASSWORD})
    assert elsewhere.status_code == 302


def test_a_browser_that_knows_somebody_lets_him_in_while_others_guess() -> None:
    make_user("operator")
    known = Client()
    known.post("/sign-in/", {"username": "operator", "password": PASSWORD})
    known.post("/sign-out/")
    for _ in range(6):
        last = Client().post("/sign-in/", {"username": "operator", "password": "wrong"})
    assert last.status_code == 429
    assert known.post("/sign-in/", {"username": "operator", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize("name", ["\x00", "x" * 151, "a\x00b", "\ud800", "", " "])
def test_names_that_nobody_has_are_a_mistake_in_the_form(name: str) -> None:
    body = "password=x&username=" + quote(name, errors="surrogatepass")
    response = Client().post("/sign-in/", body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 422


def test_signing_out_is_in_the_audit(signed_in: SignedIn) -> None:
    client = signed_in("viewer")
    assert client.post("/sign-out/").status_code == client.post("/sign-out/").status_code == 302
    assert [(e.actor, e.action, e.result) for e in AuditEntry.objects.all()] == [("viewer", "sign-out", "done")]


def test_whom_a_page_refuses_is_in_the_audit_but_not_a_hundred_times(signed_in: SignedIn) -> None:
    client = signed_in("stranger")
    for _ in range(100):
        assert client.get("/hubs/main/instances/").status_code == 404
    assert client.post("/hubs/none/instances/").status_code == 404
    assert {(e.actor, e.action, e.result) for e in AuditEntry.objects.all()} == {("stranger", "request", "denied")}
    assert AuditEntry.objects.count() == 20


def test_a_form_of_another_session_is_refused_and_in_the_audit(signed_in: SignedIn) -> None:
    row = make_row()
    client = signed_in("operator", enforce_csrf_checks=True)
    response = client.post(f"/hubs/main/instances/{row.instance_id}/suspension/")
    assert response.status_code == 403
    assert "This page is too old" in response.content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.result) == ("operator", "denied")
    assert '"code": "csrf"' in entry.detail


def test_link_shows_on_get_and_signs_in_on_post_once() -> None:
    url = f"/sign-in/{sign_in.make_link(make_user('operator'))}/"
    for _ in range(20):  # mail scanners
        assert Client().get(url).status_code == Client().head(url).status_code == 200
    client = Client()
    assert client.post(url)["Location"] == "/"
    assert client.get("/hubs/main/instances/").status_code == 200
    for again in (Client().post(url), Client().get(url), Client().get("/sign-in/unknown/")):
        assert again.status_code == 410


def test_link_needs_the_form_it_showed() -> None:
    url = f"/sign-in/{sign_in.make_link(make_user('operator'))}/"
    assert Client(enforce_csrf_checks=True).post(url).status_code == 403
    assert Client().get(url).status_code == 200


def test_script_may_ask_why_its_socket_was_refused(signed_in: SignedIn) -> None:
    assert Client().get("/live/status/").status_code == 401
    assert signed_in("stranger").get("/live/status/").status_code == 403
    assert signed_in("viewer").get("/live/status/").status_code == 204
