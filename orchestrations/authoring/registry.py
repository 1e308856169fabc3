"""Name → function, for each kind. Filled by the decorators when an app's `durable` module is imported."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrations.engine.ids import check_name
from orchestrations.errors import DurableError, NotRegisteredError

ORCHESTRATOR, ACTIVITY = "orchestrator", "activity"


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
        """Register it; `DuplicateFunctionError` if another function has its kind, name and version."""
        check_name(function.name, f"The name of an {function.kind}")
        versions = self._functions.setdefault((function.kind, function.name), {})
        held = versions.get(function.version)
        if held is not None and _origin(held) != _origin(function):
            raise DuplicateFunctionError(
                f"Two {function.kind} functions are named '{function.name}': {_origin(held)} and {_origin(function)}. "
                "Give one of them another name or version."
            )
        versions[function.version] = function
        self._fingerprint = None

    def discard(self, is_void: Callable[[Function], bool]) -> None:
        """Forget the functions for which `is_void` says so: their module could not be imported."""
        for key, versions in list(self._functions.items()):
            kept = {version: function for version, function in versions.items() if not is_void(function)}
            self._functions[key] = kept
            if not kept:
                del self._functions[key]
        self._fingerprint = None

    def find(self, kind: str, name: str, version: str | None = None) -> Function | None:
        """Return the function of that version, else the one without a version, else the newest, else None."""
        versions = self._functions.get((kind, name))
        if not versions:
            return None
        return versions.get(version) or versions.get(None) or versions[max(versions, key=lambda v: v or "")]

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
        for versions in self._functions.values():
            yield from versions.values()

    def fingerprint(self) -> str:
        """Return a digest of all functions' code: it differs where a worker runs other code (NDT-6)."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for function in sorted(self.functions(), key=lambda f: (f.kind, f.name, f.version or "")):
                digest.update(f"{function.kind} {function.name} {function.version} {_source(function)}\n".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def name_of(self, kind: str, function: str | Callable[..., Any]) -> str:
        """Return the name of a function given by name or as the decorated function itself (ORC-3).

        Raises `ValueError` for an empty name, a function that is not decorated, or one of another kind.
        """
        if isinstance(function, str):
            if not function:
                raise ValueError("function_name cannot be empty")
            return check_name(function, f"The name of an {kind}")
        spec = getattr(function, "__durable__", None)
        if not isinstance(spec, Function):
            raise ValueError(f"{function!r} is not a durable function: decorate it with @{kind}, or pass its name.")
        if spec.kind != kind:
            raise ValueError(f"'{spec.name}' is an {spec.kind}, but an {kind} is needed here.")
        return spec.name


registry = Registry()
"""This process's functions."""


def _origin(function: Function) -> str:
    return f"{function.call.__module__}.{function.call.__qualname__}"


def _source(function: Function) -> str:
    try:
        return inspect.getsource(function.call)
    except (OSError, TypeError):
        return repr(getattr(function.call, "__code__", function.call))
