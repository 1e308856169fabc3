"""Pages for what no view could answer."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.web.conftest import SignedIn

LIST = "/hubs/main/instances/"


def _no_database(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise OperationalError("the connection is lost")


@pytest.mark.parametrize("path", [LIST, "/live/status/", "/"])
def test_without_the_database_pages_say_when_to_come_back(signed_in: SignedIn, path: str) -> None:
    client = signed_in("viewer")
    client.raise_request_exception = False
    with connection.execute_wrapper(_no_database):
        answer = client.get(path)
    if path == "/":
        assert answer.status_code == 302, "a redirect needs no database"
        return
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "The database cannot be reached" in answer.content.decode()
    assert client.get(path).status_code < 300


def test_who_has_no_role_is_told_so_and_can_sign_out(signed_in: SignedIn) -> None:
    client = signed_in("stranger", enforce_csrf_checks=True)
    html = client.get(LIST).content.decode()
    assert "You are signed in as stranger" in html
    assert "or you have no role in it" in html
    token = html.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    assert client.post("/sign-out/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert client.get("/live/status/").status_code == 401


def test_an_instance_that_is_not_there_is_named(signed_in: SignedIn) -> None:
    assert "No instance with ID &#x27;nope&#x27;" in signed_in("viewer").get(f"{LIST}nope/").content.decode()
    assert "There is nothing at this address" in Client().get("/nowhere").content.decode()
