"""No request gets a 500, whoever sends it: odd encodings, numbers, characters, methods and headers at every address."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.urls import URLPattern, URLResolver, get_resolver

from durableweb.handler import PooledHandler
from orchestrations.control.sign_in import make_link
from orchestrations.engine.state import Status
from orchestrations.web.regions import Region
from tests.people import HUB, make_history, make_row, make_user, waiting_for
from tests.web.conftest import SignedIn

FORM = "application/x-www-form-urlencoded"
TOKEN = "x" * 32
DIGITS = "9" * 5_000
TEXTS = {
    "NUL": "%00",
    "half of a pair": "%ED%A0%80",
    "no UTF-8": "%FF%FE",
    "long": "x" * 5_000,
    "number": DIGITS,
    "negative": "-1",
    "a billion": "1" + "0" * 18,
    "direction": "%E2%80%AE",
    "exotic digits": "%D9%A3%D9%A4",
    "quote": "'%22%3B--",
    "dots": "..",
    "percent": "%25%00%25",
}
CHARSETS = [
    "utf-16",
    "utf-7",
    "latin-1",
    "idna",
    "punycode",
    "base64",
    "rot13",
    "zlib",
    "unicode_escape",
    "nothing",
]
FIELDS = (
    *("name", "instance_id", "client_input", "token", "event_name", "event_data", "event_id", "reason", "revision"),
    *("status", "anyway", "decision_id", "outcome", "comment", "username", "password", "next", "_method"),
)
BODIES = {
    "nothing": "",
    "JSON number": f"client_input={DIGITS}&event_data={DIGITS}&name=x&event_name=x&token={'a' * 32}",
    "JSON depth": f"client_input={'[' * 5000}&event_data={'[' * 5000}&name=x&event_name=x&token={'a' * 32}",
    "JSON constant": f"client_input=NaN&event_data=NaN&name=x&event_name=x&token={'a' * 32}",
    "JSON surrogate": f'client_input="%5Cud800"&event_data="%5Cud800"&name=x&event_name=x&token={"a" * 32}',
    "numbers": f"revision={DIGITS}&status=Running&anyway=1&reason=x&decision_id={DIGITS}&outcome=approved",
    "big revision": "revision=99999999999999999999&status=Running&reason=x&event_name=x",
    "NUL": "&".join(f"{name}=%00" for name in FIELDS),
    "surrogates": "&".join(f"{name}=%ED%A0%80" for name in FIELDS),
    "no UTF-8": "&".join(f"{name}=%FF" for name in FIELDS),
    "exotic": "&".join(f"{name}=%D9%A3%E2%80%AE" for name in FIELDS),
    "many fields": "&".join(f"f{n}=" for n in range(5_000)),
    "bare signs": "&&&===%%%zz=%1",
    "next": "username=x&password=y&next=//%00evil&next=%0d%0aX: y",
}


def patterns(resolver: URLResolver | None = None) -> Iterator[str]:
    """Yield every address of the project, with its parameters' names in braces."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from patterns(entry)
        elif isinstance(entry, URLPattern):
            route = str(entry.pattern)
            for converter in ("str:", "int:"):
                route = route.replace(f"<{converter}", "{").replace(">", "}")
            yield f"/{route}"


@pytest.fixture
def places() -> dict[str, str]:
    """What addresses may be made of: a real instance that waits for a decision and has a history."""
    row = make_row(waiting=waiting_for("Approval", "Paid"), input="[1]", custom_status='"x"')
    make_history(row, 3, Input="[1]")
    make_row(parent=row, status=Status.FAILED, failure=json.dumps({"ErrorType": "E", "ErrorMessage": "m"}))
    key = Region("summary", HUB, row.instance_id).key
    token = make_link(make_user("viewer"))
    return {"hub": HUB, "instance_id": row.instance_id, "sequence": "1", "name": "input", "key": key, "token": token}


class Browser:
    """Sends requests as the web server does: Django's ASGI requests through its handler, in this thread."""

    def __init__(self, cookies: str) -> None:
        self.handler = PooledHandler()
        self.cookies = cookies

    def send(self, method: str, path: str, body: str = "", content_type: str = FORM, **headers: str) -> None:
        """Send a request and check its answer."""
        headers = {"cookie": f"{self.cookies}; end=", "X-CSRFToken": TOKEN, **headers}  # the factory adds a comma
        request = AsyncRequestFactory().generic(method, path, body, content_type, headers=headers)
        answer = self.handler.get_response(request)
        place = f"{method} {path[:300]} {content_type[:60]} {body[:100]} → {answer.status_code}"
        assert answer.status_code < 500 or (answer.status_code == 503 and "/healthz/ready" in path), place
        assert isinstance(answer, HttpResponse)
        if answer.status_code >= 400 and answer.content:
            assert answer["Content-Security-Policy"], place
            assert answer["Content-Type"].startswith(("text/html", "application/json")), place


@pytest.fixture(params=["", "stranger", "viewer", "boss"])
def browser(request: pytest.FixtureRequest, signed_in: SignedIn) -> Browser:
    """Nobody, somebody without a role, a reader, and somebody who may do everything."""
    roles = ("admin", "operator", "approver") if request.param == "boss" else ()
    cookies = {settings.CSRF_COOKIE_NAME: TOKEN}
    if request.param:
        session = signed_in(request.param, *roles).cookies[settings.SESSION_COOKIE_NAME]
        cookies[settings.SESSION_COOKIE_NAME] = session.value
    return Browser("; ".join(f"{name}={value}" for name, value in cookies.items()))


def test_odd_texts_in_addresses(browser: Browser, places: dict[str, str]) -> None:
    for pattern in patterns():
        for text in TEXTS.values():
            for name in places:
                if f"{{{name}}}" in pattern:
                    browser.send("GET", pattern.format(**{**places, name: text}))
            query = "&".join(f"{name}={text}" for name in ("from", "after", "status", "name", "id", "blocked", "next"))
            browser.send("GET", f"{pattern.format(**places)}?{query}&download")


def test_odd_bodies_and_methods(browser: Browser, places: dict[str, str]) -> None:
    for pattern in patterns():
        path = pattern.format(**places)
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "PROPFIND", "DELETE"):
            if "sign-out" not in path:
                browser.send(method, path)
        for body in BODIES.values():
            if "sign-out" not in path:
                browser.send("POST", path, body)
                browser.send("POST", path, body, **{"HX-Request": "true"})


def test_odd_headers(browser: Browser, places: dict[str, str]) -> None:
    for pattern in patterns():
        path = pattern.format(**places)
        if "sign-out" in path:
            continue
        for charset in CHARSETS:
            browser.send("POST", path, "username=x&password=y", f"{FORM}; charset={charset}")
            browser.send("GET", f"{path}?name=%FF", f"{FORM}; charset={charset}")
        for content_type in (
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "\x00",
            "text/" + "x" * 5_000,
        ):
            browser.send("POST", path, "--x\r\n", content_type)
        browser.send("POST", path, "--b\r\n\r\n--b", "multipart/form-data; boundary=b; charset=utf-16")
        browser.send("GET", path, **{"X-Region-Tag": "x", "HX-Target": "listing", "HX-Request": "true"})
        browser.send("GET", path, **{"cookie": "durable_browser=%00; end="})
