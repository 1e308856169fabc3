"""Signing in and out."""

from __future__ import annotations

import pytest
from django.test import Client

from orchestrations.control import sign_in
from orchestrations.store.models import AuditEntry
from tests.people import PASSWORD, make_user
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


def test_five_wrong_passwords_end_the_trying() -> None:
    make_user("operator")
    wrong = {"username": "operator", "password": "wrong"}
    statuses = [Client().post("/sign-in/", wrong).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    right = Client().post("/sign-in/", {**wrong, "password": PASSWORD})
    assert right.status_code == 429
    assert right["Retry-After"] == "900"
    assert AuditEntry.objects.filter(result="denied").count() == 5


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
