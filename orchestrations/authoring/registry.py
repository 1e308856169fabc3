"""Name → function, for each kind. Filled by the decorators when an app's `durable` module is imported."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrations.engine import versions
from orchestrations.engine.ids import check_name
from orchestrations.errors import DurableError, InvalidError, NotRegisteredError, shown

ORCHESTRATOR, ACTIVITY = "orchestrator", "activity"
KINDS = (ORCHESTRATOR, ACTIVITY)


class DuplicateFunctionError(DurableError):
    """Two functions of one kind have the same name and version."""

    code = "function.duplicate"


@dataclass(frozen=True, slots=True)
class Function:
    """A registered function. `parameters` is the number of its positional parameters.

    `queue`: where its activities run, None for the hub's default. `timeout`: a longer attempt fails (ACT-3).
    `thread`: it may run in a thread beside others, for it waits more than it computes.
    """

    kind: str
    name: str
    call: Callable[..., Any]
    parameters: int
    version: str | None = None
    queue: str | None = None
    timeout: timedelta | None = None
    at_most_once: bool = False
    thread: bool = False

    @property
    def is_async(self) -> bool:
        """True for an `async def`."""
        return inspect.iscoroutinefunction(self.call)


class Registry:
    """The functions of one process."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], dict[str | None, Function]] = {}
        self._fingerprint: str | None = None

    def add(self, function: Function) -> None:
        """Register it; `DuplicateFunctionError` if another function has its kind, name and version.

        The same function may come again, when its module is loaded again.
        """
        check_name(function.name, f"The name of an {function.kind}")
        if function.version is not None:
            check_name(function.version, f"The version of an {function.kind}")
        held = self._functions.get((function.kind, function.name), {}).get(function.version)
        if held is not None and _are_two(held, function):
            raise DuplicateFunctionError(
                f"Two {function.kind} functions are named '{function.name}': {_place(held)} and {_place(function)}. "
                "Give one of them another name or version."
            )
        self._functions.setdefault((function.kind, function.name), {})[function.version] = function
        self._fingerprint = None

    def discard(self, is_void: Callable[[Function], bool]) -> None:
        """Forget the functions for which `is_void` says so: their module could not be imported."""
        for key, functions in list(self._functions.items()):
            kept = {version: function for version, function in functions.items() if not is_void(function)}
            self._functions[key] = kept
            if not kept:
                del self._functions[key]
        self._fingerprint = None

    def find(self, kind: str, name: str, version: str | None = None) -> Function | None:
        """Return the function of that very version, else the newest (VER-5), else None."""
        held = self._functions.get((kind, name))
        return held[versions.choose(version, held)] if held else None

    def get(self, kind: str, name: str, version: str | None = None) -> Function:
        """Return the function; `NotRegisteredError`, with near names, if there is none."""
        found = self.find(kind, name, version)
        if found is None:
            raise NotRegisteredError(kind, name, difflib.get_close_matches(name, self.names(kind), n=3))
        return found

    def names(self, kind: str) -> list[str]:
        """Return the registered names of a kind, sorted."""
        return sorted(name for k, name in self._functions if k == kind)

    def functions(self) -> Iterator[Function]:
        """Yield all functions."""
        for held in self._functions.values():
            yield from held.values()

    def fingerprint(self) -> str:
        """Return a digest of the code of all modules that hold functions: it differs where a worker runs other code
        (NDT-6), a helper beside a function included."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            sources = {function.call.__module__: _source(function) for function in self.functions()}
            for function in sorted(self.functions(), key=lambda f: (f.kind, f.name, f.version or "")):
                digest.update(f"{function.kind} {function.name} {function.version} {_origin(function)}\n".encode())
            for module in sorted(sources):
                digest.update(f"{module} {sources[module]}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


registry = Registry()
"""This process's functions."""


def name_of(kind: str, function: str | Callable[..., Any]) -> str:
    """Return the name of a function given by name or as the decorated function itself (ORC-3).

    Raises `InvalidError`, a `ValueError`, for an empty name, a function that is not decorated, or one of another kind.
    """
    if isinstance(function, str):
        if not function:
            raise InvalidError("function_name cannot be empty", code="name.invalid")
        return check_name(function, f"The name of an {kind}")
    spec = getattr(function, "__durable__", None)
    if not isinstance(spec, Function):
        text = f"{shown(function)} is not a durable function: decorate it with @{kind}, or pass its name."
        raise InvalidError(text, code="name.invalid")
    if spec.kind != kind:
        text = f"'{spec.name}' is an {spec.kind}, but an {kind} is needed here."
        raise InvalidError(text, code="name.invalid")
    return spec.name


def place_of(function: Function) -> tuple[str, int] | None:
    """Return file and line where a function begins, below its wrappers; None if it has no source."""
    code = getattr(inspect.unwrap(function.call), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else None


def _are_two(held: Function, new: Function) -> bool:
    """Tell whether they are two functions, and not one whose module was loaded again.

    Within one run of a module the same name at another line is another function.
    """
    if held.call is new.call:
        return False
    if _origin(held) != _origin(new):
        return True
    one, two = inspect.unwrap(held.call), inspect.unwrap(new.call)
    is_one_run = getattr(one, "__globals__", None) is getattr(two, "__globals__", None)
    places = place_of(held), place_of(new)
    is_one_file = places[0] is not None and places[1] is not None and places[0][0] == places[1][0]
    return is_one_run and is_one_file and places[0] != places[1]


def _origin(function: Function) -> str:
    return f"{function.call.__module__}.{getattr(function.call, '__qualname__', '?')}"


def _place(function: Function) -> str:
    place = place_of(function)
    return _origin(function) + (f" ({place[0]}, line {place[1]})" if place else "")


def _source(function: Function) -> str:
    try:
        return inspect.getsource(inspect.getmodule(function.call) or function.call)
    except (OSError, TypeError):
        return repr(getattr(function.call, "__code__", function.call))
