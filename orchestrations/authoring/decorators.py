"""@orchestrator and @activity: they register the function and give it back unchanged, to be tested alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar, overload

from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, Function, registry
from orchestrations.authoring.signatures import check_activity, check_orchestrator
from orchestrations.engine.failure_types import register_error
from orchestrations.engine.times import Duration, duration
from orchestrations.errors import InvalidError

_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,50}")

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
    Raises, at decoration, `TypeError` for a function that cannot be called so, `InvalidError` for a name or version
    that breaks a rule, `DuplicateFunctionError` if another function has both.
    """

    def register(target: F) -> F:
        parameters = check_orchestrator(target)
        return _register(target, Function(ORCHESTRATOR, _name(name, target), target, parameters, version=version))

    return register(function) if function is not None else register


@overload
def activity(function: F) -> F: ...
@overload
def activity(
    *,
    name: str | None = None,
    queue: str | None = None,
    timeout: Duration | None = None,
    raises: Iterable[type[Exception]] = (),
    at_most_once: bool = False,
    thread: bool = False,
) -> Callable[[F], F]: ...
def activity(
    function: F | None = None,
    *,
    name: str | None = None,
    queue: str | None = None,
    timeout: Duration | None = None,
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
    Raises, at decoration, `TypeError` for a function that cannot be called so or for what is no exception class,
    `InvalidError` for a name, queue or timeout that breaks a rule, `DuplicateFunctionError` for a name that is taken.
    """
    options: dict[str, Any] = {"queue": queue, "timeout": _check_timeout(timeout)}
    _check_queue(queue)
    options |= _check_flags(at_most_once=at_most_once, thread=thread)
    declared = _classes(raises)

    def register(target: F) -> F:
        parameters = check_activity(target)
        registered = _register(target, Function(ACTIVITY, _name(name, target), target, parameters, **options))
        for kind in declared:
            register_error(kind)
        return registered

    return register(function) if function is not None else register


def _register(target: F, spec: Function) -> F:
    registry.add(spec)
    target.__durable__ = spec  # type: ignore[attr-defined]
    return target


def _name(name: str | None, target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", "") if name is None else name


def _check_timeout(timeout: Any) -> timedelta | None:
    if timeout is None:
        return None
    found = duration(timeout, "The timeout of an activity")
    if found <= timedelta(0):
        raise InvalidError(f"The timeout of an activity must be more than 0, not {timeout}.", code="time.invalid")
    return found


def _check_flags(**flags: Any) -> dict[str, bool]:
    for option, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{option} must be True or False, not {value!r}.")
    return flags


def _check_queue(queue: Any) -> None:
    if queue is not None and not (isinstance(queue, str) and _QUEUE.fullmatch(queue)):
        text = f"The queue of an activity must be 1 to 50 letters, digits, '_' or '-', not {queue!r}."
        raise InvalidError(text, code="name.invalid")


def _classes(raises: Any) -> tuple[type[Exception], ...]:
    kinds = tuple(raises) if isinstance(raises, list | tuple | set | frozenset) else (raises,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise TypeError(f"raises must hold classes that derive from Exception, not {kind!r}.")
    return kinds
