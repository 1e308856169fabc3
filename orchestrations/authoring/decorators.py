"""@orchestrator and @activity: they register the function and give it back unchanged, to be tested alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, overload

from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, Function, registry
from orchestrations.engine.failures import register_error

F = TypeVar("F", bound=Callable[..., Any])


@overload
def orchestrator(function: F) -> F: ...
@overload
def orchestrator(*, name: str | None = None, version: str | None = None) -> Callable[[F], F]: ...
def orchestrator(
    function: F | None = None, *, name: str | None = None, version: str | None = None
) -> F | Callable[[F], F]:
    """Register a generator, an `async def` or a plain function that takes `(context)` or `(context, input)` (ORC-1).

    Its code is run again over its history: it must decide by nothing but its input and what its context gives.
    """

    def register(target: F) -> F:
        spec = Function(ORCHESTRATOR, name or target.__name__, target, _count(target, 1, 2), version=version)
        return _register(target, spec)

    return register(function) if function is not None else register


@overload
def activity(function: F) -> F: ...
@overload
def activity(
    *,
    name: str | None = None,
    queue: str | None = None,
    timeout: timedelta | float | None = None,
    raises: Iterable[type[Exception]] = (),
    at_most_once: bool = False,
    thread: bool = False,
) -> Callable[[F], F]: ...
def activity(
    function: F | None = None,
    *,
    name: str | None = None,
    queue: str | None = None,
    timeout: timedelta | float | None = None,
    raises: Iterable[type[Exception]] = (),
    at_most_once: bool = False,
    thread: bool = False,
) -> F | Callable[[F], F]:
    """Register a function, plain or `async def`, that takes `()`, `(input)` or `(context, input)` (ACT-1).

    It runs at least once for each attempt, in no transaction; its first committed outcome counts. `queue` names the
    queue whose workers run it; an attempt that lasts longer than `timeout` (seconds or timedelta) fails (ACT-3).
    `raises` declares exceptions that orchestrators may catch by class. With `at_most_once` a lost attempt fails.
    An `async def`, and with `thread` a plain function that waits more than it computes, runs beside the worker's other
    work (`durable_worker --threads`); a plain function has the worker to itself.
    """
    seconds = timedelta(seconds=timeout) if isinstance(timeout, int | float) else timeout
    for kind in raises:
        register_error(kind)

    def register(target: F) -> F:
        spec = Function(
            ACTIVITY,
            name or target.__name__,
            target,
            _count(target, 0, 2),
            queue=queue,
            timeout=seconds,
            at_most_once=at_most_once,
            thread=thread,
        )
        return _register(target, spec)

    return register(function) if function is not None else register


def _register(target: F, spec: Function) -> F:
    registry.add(spec)
    target.__durable__ = spec  # type: ignore[attr-defined]
    return target


def _count(target: Callable[..., Any], least: int, most: int) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in inspect.signature(target).parameters.values() if p.kind in kinds]
    if not least <= len(parameters) <= most:
        raise TypeError(
            f"{target.__qualname__} must take {least} to {most} positional parameters, not {len(parameters)}."
        )
    return len(parameters)
