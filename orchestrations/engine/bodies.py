"""A started orchestrator behind one face: generator, coroutine, or a plain function that has ended already."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any


class Finished(Exception):
    """The body has ended; `value` is what it returned."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Body:
    """A generator or coroutine, stepped by sending values in; no event loop runs."""

    __slots__ = ("_inner",)

    def __init__(self, started: Any) -> None:
        """Take what calling the orchestrator gave; raises `Finished` if that is a plain value (ORC-1)."""
        if not inspect.isgenerator(started) and not inspect.iscoroutine(started):
            raise Finished(started)
        self._inner: Generator[Any, Any, Any] | Coroutine[Any, Any, Any] = started

    def step(self, value: Any = None, error: BaseException | None = None) -> Any:
        """Go on until the body yields or awaits; return what. Raises `Finished`, or what the body raised."""
        try:
            if error is None:
                return self._inner.send(value)
            return self._inner.throw(BaseException.with_traceback(error, None))
        except StopIteration as stop:
            value = stop.value
        raise Finished(value)

    def close(self) -> None:
        """End a suspended body, its context sealed; what its `finally` blocks raise or yield is dropped (ORC-4)."""
        with suppress(BaseException):
            self._inner.close()
