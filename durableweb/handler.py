"""HTTP by Django in a fixed number of threads, each with one lasting database connection.

Django's own ASGI handler gives every request a thread of its own, and connections belong to threads: with lasting
connections each request leaves one behind, without them each request opens one, and neither is bounded. Here a request
waits in line for a thread (in the event loop, where waiting is cheap), so the number of connections is the number of
threads whatever clients do, on SQLite and on PostgreSQL alike. Sockets share one more thread, which is Channels' own.

A slow client costs no thread: the body is complete before the request gets in line, and a thread is free again before
the answer is sent.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Any, cast

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpResponseBase
from django.urls import set_script_prefix

from durableweb.limits import Scope, refuse

RETRY_SECONDS = 2


@dataclass
class Lane:
    """Requests that wait for the same threads; when `waiting` of them do, the next one is refused."""

    name: str
    threads: int
    waiting: int = 200
    inside: int = 0
    executor: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = ThreadPoolExecutor(self.threads, thread_name_prefix=f"durable-web-{self.name}")

    @property
    def is_full(self) -> bool:
        return self.inside >= self.threads + self.waiting


class PooledHandler(ASGIHandler):
    """Django's handler with synchronous middleware, run as a whole in one of its lane's threads.

    Its views must not stream: an answer is complete before its first byte is sent.
    """

    def __init__(self) -> None:
        super(ASGIHandler, self).__init__()  # not ASGIHandler's, which loads asynchronous middleware
        self.load_middleware(is_async=False)
        self.pages = Lane("pages", threads=8)
        # whoever asks whether this process lives or is ready must not wait behind pages, nor behind the other question
        self.health = {path: Lane(path.rpartition("/")[2], threads=1) for path in ("/healthz/live", "/healthz/ready")}
        # hashing a password takes half a second of a core on purpose: guesses may not take all threads
        self.passwords = Lane("passwords", threads=2, waiting=20)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one HTTP request: 503 with Retry-After if too many wait already, which has then changed nothing."""
        lane = self._lane(scope)
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        if lane.is_full:
            detail = f"{lane.inside} requests are being answered or wait for it. Nothing was changed: try again."
            await refuse(send, 503, "server.busy", detail, retry_seconds=RETRY_SECONDS)
            body.close()
            return
        lane.inside += 1
        try:
            run = contextvars.copy_context().run
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(lane.executor, run, self._respond, scope, body)
        finally:
            lane.inside -= 1
        await self.send_response(response, send)

    def _respond(self, scope: Scope, body: IO[bytes]) -> HttpResponseBase:
        """Return the closed response, as a WSGI server would make it in this thread."""
        with closing(body):
            set_script_prefix(get_script_prefix(scope))
            signals.request_started.send(sender=self.__class__, scope=scope)
            request, refusal = self.create_request(cast(dict[str, Any], scope), body)
            response = self.get_response(request) if request is not None else cast(HttpResponseBase, refusal)
            response.close()  # sends `request_finished`: connections are looked after here, where they are known
        return response

    def _lane(self, scope: Scope) -> Lane:
        path = scope["path"]
        if scope["method"] == "POST" and path == "/sign-in/":
            return self.passwords
        return self.health.get(path, self.pages)
