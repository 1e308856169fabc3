"""However many clients ask at once, the web server holds a few database connections and answers everybody."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from websockets.sync.client import connect
from websockets.typing import Origin

from tests import servers
from tests.people import HUB, make_row, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROLE = "web_with_few_connections"
MOST = 27  # max_connections = 30 lets everybody but superusers have 27
PAGES = ("/healthz/ready", "/sign-in/", f"/hubs/{HUB}/instances/", "/live/status/")


@pytest.fixture
def server(redis_server: servers.RedisServer) -> Iterator[servers.WebServer]:
    """The real server; on PostgreSQL its role may have as many connections as `max_connections = 30` leaves it."""
    with ExitStack() as stack:
        changes = stack.enter_context(_few_connections()) if connection.vendor == "postgresql" else {}
        yield stack.enter_context(servers.run_web_server(**changes))


@contextmanager
def _few_connections() -> Iterator[dict[str, str]]:
    name = str(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT {MOST}")
        cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}")
        cursor.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
    try:
        yield {"DATABASE_URL": servers.postgres_url(name).replace("durable@", f"{ROLE}@")}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {ROLE}")
            cursor.execute(f"DROP ROLE {ROLE}")


def held(server: servers.WebServer) -> int:
    """Return how many connections the server holds, or file descriptors of the SQLite file."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [ROLE])
            return int(cursor.fetchone()[0])
    name = str(connection.settings_dict["NAME"])
    links = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return sum(link.resolve() == Path(name).resolve() for link in links)


def ask(server: servers.WebServer, path: str, number: int, session: str = "") -> list[int]:
    """Send requests one after the other and return their statuses."""
    client = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    statuses = []
    for _ in range(number):
        client.request("GET", path, headers=_cookie(server, session) if session else {})
        answer = client.getresponse()
        answer.read()
        assert answer.status in {200, 204, 302, 401} or answer.headers["Retry-After"] or path == PAGES[0]
        statuses.append(answer.status)
    client.close()
    return statuses


def crowd(
    server: servers.WebServer, path: str, session: str = "", *, clients: int = 100, each: int = 3
) -> Counter[int]:
    """Return how often each status was answered to a crowd."""
    with ThreadPoolExecutor(clients) as threads:
        found = threads.map(lambda _: ask(server, path, each, session), range(clients))
        return Counter(status for statuses in found for status in statuses)


def _cookie(server: servers.WebServer, session: str) -> dict[str, str]:
    return {"Cookie": f"durable_session_{urlsplit(server.url).port}={session}"}


def _sign_in() -> str:
    client = Client()
    client.force_login(make_user("operator"))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def test_a_crowd_leaves_a_bounded_number_of_connections_behind(server: servers.WebServer) -> None:
    """300 anonymous requests, 100 at a time, beside open sockets; and as many of somebody who has signed in."""
    for _ in range(20):
        make_row()
    session = _sign_in()
    with ExitStack() as stack:
        for _ in range(10):
            url = server.url.replace("http://", "ws://") + f"/hubs/{HUB}/live/"
            stack.enter_context(connect(url, origin=Origin(server.url), additional_headers=_cookie(server, session)))
        for path in PAGES:
            anonymous = crowd(server, path)
            assert 500 not in anonymous, server.log.read_text()[-3000:]
            assert held(server) <= MOST // 2
        assert set(crowd(server, PAGES[2], session)) == {200}
        assert held(server) <= MOST // 2
    assert ask(server, PAGES[2], 3, session) == [200] * 3
    assert "too many" not in server.log.read_text()
