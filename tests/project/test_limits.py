"""The outermost layer counts what arrives; what a client declares is only believed when it is too much."""

from collections.abc import Iterable
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from durableweb.limits import BodyLimit, Message, Receive, Scope, Send


async def reader(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, as Django does, then answer its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def post(chunks: Iterable[bytes], *headers: tuple[bytes, bytes], limit: int = 100) -> tuple[int, bytes]:
    """Send `chunks` through the layer; return status and body."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "headers": list(headers)}
    async_to_sync(BodyLimit(reader, limit))(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_a_body_up_to_the_limit_passes() -> None:
    assert post([b"x" * 60, b"x" * 40]) == (200, b"100")


@pytest.mark.parametrize("declared", [b"", b"7", b"nonsense", b"-1"])
def test_a_larger_body_is_refused_whatever_it_declares(declared: bytes) -> None:
    status, body = post([b"x" * 60, b"x" * 41], (b"content-length", declared))
    assert status == 413
    assert b"payload.too-large" in body
    assert b"100 bytes" in body


def test_a_body_that_declares_too_much_is_refused_unread() -> None:
    assert post([], (b"content-length", b"101"))[0] == 413


def test_a_compressed_body_is_refused() -> None:
    assert post([b"x"], (b"content-encoding", b"gzip"))[0] == 415
    assert post([b"x"], (b"content-encoding", b"identity"))[0] == 200
