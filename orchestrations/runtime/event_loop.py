"""An event loop in a thread of its own: what one of its tasks raises does not stop it, no task outlives its owner."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from django.db import connections

from orchestrations import telemetry

JOIN_SECONDS = 5.0
Tasks = weakref.WeakSet[asyncio.Task[Any]]

_owned: ContextVar[Tasks | None] = ContextVar("owned", default=None)


class EventLoop:
    """Runs coroutines until `stop`; the thread begins with the first one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run the coroutine, which must not raise, in a task of its own. From any thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_task_factory(_make_task)
            self._thread = threading.Thread(target=self._run, args=(self._loop,), daemon=True, name="async activities")
            self._thread.start()
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        """End the loop, whatever its tasks do, and wait a moment for its thread."""
        self._is_stopping = True
        if self._loop is not None and self._thread is not None:
            with suppress(RuntimeError):  # it has ended in this very moment
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(JOIN_SECONDS)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while not self._is_stopping:
                try:
                    loop.run_forever()
                except BaseException as error:  # `sys.exit` in a task: asyncio lets it through, the task has it too
                    telemetry.report(telemetry.TASK_EXITED, level=logging.WARNING, error=error)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            connections.close_all()


def own_tasks() -> Tasks:
    """Let all tasks that are made from now on, in this context and those made from it, be found in what is returned."""
    tasks: Tasks = weakref.WeakSet()
    _owned.set(tasks)
    return tasks


def cancel_all(tasks: Tasks) -> None:
    """Cancel those that have not ended, but not the one that asks for it."""
    for task in list(tasks):
        if not task.done() and task is not asyncio.current_task():
            task.cancel()


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    if (tasks := _owned.get()) is not None:
        tasks.add(task)
    return task
