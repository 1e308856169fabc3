"""The outermost ASGI layer: refuses request bodies that are too large, before Django has stored any of them.

Django reads a whole body into a temporary file without a limit, so bytes are counted as they arrive: neither a missing
nor a lying Content-Length helps. Compressed bodies are refused, since they can unfold to any size.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


LENGTH_DIGITS = 18
"""Python refuses to read numbers of thousands of digits, and the first 18 say "too much" as well."""


class _TooLarge(Exception):
    """Unwinds the application that was reading the body."""


class BodyLimit:
    """Answers 413 to a body over `limit` bytes and 415 to a compressed one; everything else passes untouched."""

    def __init__(self, application: Application, limit: int) -> None:
        self.application = application
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity").lower() not in (b"", b"identity"):
            await refuse(send, 415, "encoding", "Send the body without Content-Encoding.")
            return
        if _declared_length(headers) > self.limit:
            await self._refuse_size(send)
            return
        await self._run_counting(scope, receive, send)

    async def _run_counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        count = 0
        started = False

        async def receive_counting() -> Message:
            nonlocal count
            message = await receive()
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                if count > self.limit:
                    raise _TooLarge
            return message

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.application(scope, receive_counting, send_noting)
        except _TooLarge:
            if not started:
                await self._refuse_size(send)

    async def _refuse_size(self, send: Send) -> None:
        advice = "Store the content elsewhere and pass a reference."
        await refuse(send, 413, "payload.too-large", f"The body may have {self.limit} bytes. {advice}")


def _declared_length(headers: dict[bytes, bytes]) -> int:
    value = headers.get(b"content-length", b"0")[:LENGTH_DIGITS]
    return int(value) if value.isdigit() else 0


async def refuse(send: Send, status: int, code: str, detail: str, retry_seconds: int = 0) -> None:
    """Answer with a problem document and close the connection: the rest of the body may still be on its way.

    `retry_seconds` tells when it may be tried again; 0 says that the same request will be refused again.
    """
    problem = {
        "type": f"/problems/{code.replace('.', '-')}",
        "title": "The request was refused",
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retry_seconds > 0,
        "state_changed": False,
    }
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if retry_seconds:
        headers.append((b"retry-after", str(retry_seconds).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
