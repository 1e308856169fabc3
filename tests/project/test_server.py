"""The web server as clients meet it: headers, static files, limits, origins, the way it stops."""

import contextlib
import http.client
import signal
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests import servers

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ORIGIN_REFUSED = 403


def get(url: str) -> http.client.HTTPResponse:
    answer: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=10)
    return answer


def handshake(server: servers.WebServer, origin: str | None) -> int:
    """Return the status of a WebSocket handshake; 101 if it was accepted."""
    url = server.url.replace("http://", "ws://") + "/hubs/main/live/"
    try:
        with connect(url, origin=origin, open_timeout=10):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_pages_come_with_the_headers_that_keep_scripts_out(live_asgi_server: servers.WebServer) -> None:
    with get(f"{live_asgi_server.url}/sign-in/") as answer:
        policy = {part.split()[0]: part.split()[1:] for part in answer.headers["Content-Security-Policy"].split("; ")}
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
        assert policy["img-src"] == ["'self'", "data:"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "Server" not in answer.headers


def test_static_files_are_served_without_debug(live_asgi_server: servers.WebServer) -> None:
    with get(f"{live_asgi_server.url}/static/css/tokens.css") as answer:
        content = answer.read()
        assert answer.headers["Content-Type"].startswith("text/css")
    assert content == (servers.PROJECT / "static/css/tokens.css").read_bytes()
    assert "Warning" not in live_asgi_server.log.read_text()
    for path in ("/static/../durableweb/settings.py", "/static/npm/@tabler/core/package.json", "/static/none.css"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(live_asgi_server.url + path)
        assert caught.value.code == 404
        caught.value.close()


def test_a_body_without_a_length_is_counted(live_asgi_server: servers.WebServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(live_asgi_server.url).netloc, timeout=30)
    chunks = (b"x" * 65_536 for _ in range(64))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before all of it was sent
        connection.request("POST", "/sign-in/", body=chunks, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_sockets_are_refused_from_other_origins(live_asgi_server: servers.WebServer, origin: str | None) -> None:
    assert handshake(live_asgi_server, origin) == ORIGIN_REFUSED


def test_keys_and_tokens_do_not_reach_the_access_log(live_asgi_server: servers.WebServer) -> None:
    token = "Uj6Tiv_Xwh1kIAbMwktcC7rG5LSvwUq73LerbqM0uwc"
    for path in (f"/sign-in/{token}/", "/sign-in/?code=hunter2&next=/"):
        try:
            get(live_asgi_server.url + path).close()
        except urllib.error.HTTPError as error:
            error.close()
    log = live_asgi_server.log.read_text()
    assert "/sign-in/***/" in log
    assert "code=***&next=/" in log
    assert token not in log
    assert "hunter2" not in log


def test_a_stop_that_was_asked_for_ends_with_0(live_asgi_server: servers.WebServer) -> None:
    live_asgi_server.process.send_signal(signal.SIGTERM)
    assert live_asgi_server.process.wait(10) == 0
