"""The classes that failures are raised as, made from their recorded names (FAIL-4, FAIL-5).

A name that comes from a payload is never imported: classes are found among the builtins and those that somebody
declared with `register_error`.
"""

from __future__ import annotations

import builtins
from collections import deque
from typing import TypeVar
from weakref import WeakValueDictionary

from orchestrations.engine.exceptions import qualified_name
from orchestrations.engine.failures import NON_RETRIABLE, FailureDetails, TaskFailedError
from orchestrations.errors import ActivityTimeoutError, LeftoverError

K = TypeVar("K", bound=type[Exception])
Made = type[TaskFailedError]

RECENT = 512
BASES = 64
"""How many recorded bases count: they come from a payload."""

_declared: dict[str, type[Exception]] = {}
# A class lives as long as somebody uses it, so that `except` always meets the very class that is raised. The recent
# ones are kept for speed; their names come from payloads, so that not all of them can be.
_named: WeakValueDictionary[str, Made] = WeakValueDictionary()
_raised: WeakValueDictionary[tuple[str, tuple[type[Exception], ...]], Made] = WeakValueDictionary()
_recent: deque[Made] = deque(maxlen=RECENT)

_NEVER = (StopIteration, StopAsyncIteration, BaseExceptionGroup)


def register_error(kind: K, *, non_retriable: bool = False) -> K:
    """Declare an exception class, so that failures of that type can be caught by it. Usable as a decorator.

    Raises `TypeError` for what is no subclass of `Exception`.
    """
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        raise TypeError(f"Only a class that derives from Exception can be declared, not {kind!r}.")
    _declared[qualified_name(kind)] = kind
    _named.pop(qualified_name(kind), None)
    if non_retriable:
        setattr(kind, NON_RETRIABLE, True)
    return kind


for _kind in (ActivityTimeoutError, LeftoverError):
    register_error(_kind)


def failure_type(error_type: str) -> type[TaskFailedError]:
    """Return the one subclass of `TaskFailedError` for failures whose type has that name (FAIL-4).

    It derives from the class itself too where that is a builtin exception or was declared.
    """
    found = _named.get(error_type)
    if found is None:
        original = _find(error_type)
        found = _named[error_type] = _make(error_type, TaskFailedError, (original,) if original else ())
    return found


def raised_type(details: FailureDetails) -> type[TaskFailedError]:
    """Return the class to raise a failure as: `failure_type`, and all recorded bases that are builtin or declared."""
    named = failure_type(details.error_type)
    found = (_find(name) for name in details.bases[:BASES])
    bases: list[type[Exception]] = []
    for base in found:
        if base is not None and not any(issubclass(held, base) for held in (named, *bases)):
            bases.append(base)
    if not bases:
        return named
    key = details.error_type, tuple(bases)
    made = _raised.get(key)
    if made is None or not issubclass(made, named):
        made = _raised[key] = _make(details.error_type, named, tuple(bases))
    return made


def _make(error_type: str, first: Made, others: tuple[type[Exception], ...]) -> Made:
    """Make a class of these bases, leaving out those that cannot be combined, for instance for their memory layout."""
    name = error_type.rpartition(".")[2]
    name = name if name.isidentifier() else TaskFailedError.__name__
    bases: tuple[type, ...] = (first,)
    made: Made = type(name, bases, {"__module__": "orchestrations.failures"})
    for other in others:
        try:
            made = type(name, (*bases, other), {"__module__": "orchestrations.failures"})
        except BaseException:  # an author's `__init_subclass__` may raise anything
            continue
        bases = (*bases, other)
    _recent.append(made)
    return made


def _find(error_type: str) -> type[Exception] | None:
    """Return a declared or builtin class that may be derived from."""
    found = _declared.get(error_type)
    if found is None:
        module, _, name = error_type.rpartition(".")
        found = getattr(builtins, name, None) if module == "builtins" else None
    if not isinstance(found, type) or not issubclass(found, Exception) or found is Exception:
        return None
    return None if issubclass(found, _NEVER) else found
