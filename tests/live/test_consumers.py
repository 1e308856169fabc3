"""A socket as a browser meets it: who is let in, what is said, and what ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from uvicorn.protocols.utils import ClientDisconnected

from orchestrations.client import queries
from orchestrations.live import tags
from orchestrations.live.consumers import LiveConsumer
from orchestrations.live.groups import hub_group, user_group
from orchestrations.live.routing import websocket_urlpatterns
from orchestrations.web.regions import Region
from tests.live.sockets import Socket
from tests.people import HUB, change, make_actor, make_row, make_user

ORIGIN = "http://127.0.0.1:8000"
PATH = f"/hubs/{HUB}/live/"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveConsumer, "dirty_seconds", 0.02)
    monkeypatch.setattr(LiveConsumer, "grace_seconds", 0.0)
    monkeypatch.setattr(tags, "SHARED_SECONDS", 0.0)


def run(talk: Callable[[], Awaitable[None]]) -> None:
    """Run it in a loop of its own, and close what its database thread has opened."""

    async def talk_and_close() -> None:
        try:
            await talk()
        finally:
            await sync_to_async(connections.close_all)()

    asyncio.run(talk_and_close())


def _sign_in(name: str) -> str:
    client = Client()
    client.force_login(make_user(name))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _socket(session: str = "", *, origin: str = ORIGIN, path: str = PATH) -> Socket:
    application = OriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), [ORIGIN])
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()), (b"origin", origin.encode())]
    return Socket(application, path, headers)


@asynccontextmanager
async def _connected(name: str = "operator") -> AsyncIterator[Socket]:
    socket = _socket(await sync_to_async(_sign_in)(name))
    assert await socket.connect()
    yield socket
    await socket.leave()


async def _watch(socket: Socket, *regions: Region) -> dict[str, str]:
    await socket.say_json({"t": "watch", "keys": [region.key for region in regions]})
    message = await socket.hear()
    assert message["t"] == "hello"
    found: dict[str, str] = message["tags"]
    return found


async def _hint(**facts: Any) -> None:
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send(hub_group(HUB), {"type": "hint", **facts})


@pytest.mark.parametrize(
    ("name", "origin", "path"),
    [
        ("", ORIGIN, PATH),
        ("stranger", ORIGIN, PATH),
        ("operator", "http://evil.example", PATH),
        ("operator", "http://127.0.0.1:9", PATH),
        ("operator", ORIGIN, "/hubs/nobody-made-it/live/"),
        ("operator", ORIGIN, "/hubs/%00/live/"),
        ("operator", ORIGIN, f"/hubs/{'x' * 5000}/live/"),
    ],
)
def test_refused_before_it_is_accepted(name: str, origin: str, path: str) -> None:
    async def talk() -> None:
        session = await sync_to_async(_sign_in)(name) if name else "nothing"
        socket = _socket(session, origin=origin, path=path)
        assert not await socket.connect()

    run(talk)


def test_watch_hello_hint_dirty() -> None:
    row = make_row()

    async def talk() -> None:
        async with _connected() as socket:
            summary, newer = Region("summary", HUB, row.instance_id), Region("newer", HUB)
            assert set(await _watch(socket, summary, newer)) == {"summary", "newer"}
            await _hint(ids=[["somebody-else", 3]])
            assert await socket.hear() == {"t": "dirty", "regions": ["newer"]}
            await _hint(ids=[[row.instance_id, 3]])
            assert await socket.hear() == {"t": "dirty", "regions": ["newer", "summary"]}
            await _hint(many=True)
            assert await socket.hear() == {"t": "dirty", "regions": ["newer", "summary"]}

    run(talk)


def test_hints_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveConsumer, "dirty_seconds", 0.3)
    row = make_row()

    async def talk() -> None:
        async with _connected() as socket:
            await _watch(socket, Region("summary", HUB, row.instance_id))
            for revision in range(50):
                await _hint(ids=[[row.instance_id, revision]])
                await asyncio.sleep(0)
            for _ in range(2):
                await socket.hear()
            assert await socket.receive_nothing(0.5)

    run(talk)


def test_beat_brings_tags_that_heal_a_lost_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveConsumer, "beat_seconds", 0.2)
    row = make_row()

    async def talk() -> None:
        async with _connected() as socket:
            first = await _watch(socket, Region("summary", HUB, row.instance_id))
            await sync_to_async(change)(row, revision=9)  # and no hint
            message = await socket.hear()
            assert message["t"] == "beat"
            assert message["tags"]["summary"] != first["summary"]

    run(talk)


def test_sockets_that_show_the_same_ask_the_database_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "SHARED_SECONDS", 60.0)
    rows = [make_row() for _ in range(3)]
    child = make_row(parent=rows[0])
    names = {"snapshot": queries.make_snapshot(HUB, [row.instance_id for row in rows])}
    regions = [Region("rows", HUB, **names), Region("counts", HUB), Region("newer", HUB)]
    regions += [Region(name, HUB, rows[0].instance_id) for name in ("summary", "data", "history", "children")]
    read = async_to_sync(tags.read_regions)
    viewer, keys = make_actor("viewer"), [region.key for region in regions]
    first = read(viewer, HUB, keys)
    assert set(first) == {region.name for region in regions}
    assert first["children"].ids == {rows[0].instance_id, child.instance_id}
    with CaptureQueriesContext(connection) as found:
        assert all(read(viewer, HUB, keys) == first for _ in range(10))
        assert read(make_actor("another", "viewer"), HUB, keys) == first
    assert not [query for query in found if "durable" in query["sql"] or "orchestrations_" in query["sql"]]


def test_watching_what_one_may_not_see_is_ignored() -> None:
    row = make_row()

    async def talk() -> None:
        async with _connected("viewer") as socket:
            assert await _watch(socket, Region("audit", HUB, row.instance_id), Region("summary", HUB, "gone")) == {}

    run(talk)


BAD = [
    ({"text_data": "no json"}, 1008),
    ({"text_data": "[1]"}, 1008),
    ({"text_data": '{"t":"start","name":"x"}'}, 1008),
    ({"text_data": '{"t":"watch","keys":["forged"]}'}, 1008),
    ({"text_data": '{"t":"watch","keys":{}}'}, 1008),
    ({"text_data": "[" * 3000}, 1008),
    ({"text_data": json.dumps({"t": "watch", "keys": ["x"] * 13})}, 1008),
    ({"text_data": json.dumps({"t": "watch", "keys": [Region("rows", "other").key]})}, 1008),
    ({"bytes_data": b"\x00"}, 1008),
    ({"text_data": json.dumps({"t": "watch", "keys": ["x" * 17_000]})}, 1009),
]


@pytest.mark.parametrize(("frame", "code"), BAD)
def test_bad_frames_end_the_socket(frame: dict[str, Any], code: int) -> None:
    async def talk() -> None:
        async with _connected() as socket:
            await socket.say(**frame)
            message = await socket.hear()
            assert message["t"] == "error"
            assert await socket.close_code() == code

    run(talk)


def test_too_many_messages_end_the_socket() -> None:
    async def talk() -> None:
        async with _connected() as socket:
            for _ in range(11):
                await socket.say_json({"t": "watch", "keys": []})
            assert await socket.close_code() == 1008

    run(talk)


def test_signing_out_ends_the_socket_soon() -> None:
    async def talk() -> None:
        session = await sync_to_async(_sign_in)("operator")
        socket = _socket(session)
        assert await socket.connect()
        client = Client()
        client.cookies[settings.SESSION_COOKIE_NAME] = session
        await sync_to_async(client.post)("/sign-out/")
        await _check("operator")
        assert await socket.close_code() == 4401
        await socket.leave()

    run(talk)


def test_losing_the_role_ends_the_socket_soon() -> None:
    async def talk() -> None:
        async with _connected() as socket:
            user = await sync_to_async(make_user)("operator", "operator")
            await sync_to_async(user.groups.clear)()
            await _check("operator")
            assert await socket.close_code() == 4403

    run(talk)


def test_session_is_looked_at_again_even_without_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveConsumer, "check_seconds", 0.2)

    async def talk() -> None:
        async with _connected() as socket:
            user = await sync_to_async(make_user)("operator")
            user.is_active = False
            await sync_to_async(user.save)()
            assert await socket.close_code() == 4401

    run(talk)


def test_oldest_of_too_many_tabs_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveConsumer, "sockets_per_user", 1)

    async def talk() -> None:
        async with _connected() as first, _connected() as second:
            assert await first.close_code() == 4429
            assert await _watch(second, Region("newer", HUB))
        assert not LiveConsumer.sockets

    run(talk)


def test_failing_task_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: LiveConsumer) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(LiveConsumer, "_run", fail)

    async def talk() -> None:
        async with _connected() as socket:
            assert await socket.close_code() == 1011

    run(talk)


def test_a_tab_that_closes_while_it_is_told_something_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    async def gone(self: LiveConsumer, text_data: str | None = None, **options: Any) -> None:
        said.append(text_data or "")
        raise ClientDisconnected

    monkeypatch.setattr(LiveConsumer, "beat_seconds", 0.02)

    async def talk() -> None:
        async with _connected() as socket:
            await _watch(socket, Region("newer", HUB))
            monkeypatch.setattr(LiveConsumer, "send", gone)
            async with asyncio.timeout(5.0):
                while len(said) < 2:
                    await asyncio.sleep(0.01)

    run(talk)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert not LiveConsumer.sockets


async def _check(name: str) -> None:
    """Send what the broadcaster sends from its own thread, which the layer in memory cannot cross."""
    user = await User.objects.aget(username=name)
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send(user_group(user.pk), {"type": "check"})
