"""Failures as values, and the exceptions that they become in an orchestrator (FAIL-1…7).

A name that comes from a payload is never imported: classes are found among the builtins and those that somebody
declared with `register_error`.
"""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrations.errors import DurableError

MESSAGE_LIMIT = 8 * 1024
TRACE_LIMIT = 32 * 1024
CUT = " … (cut)"
INNER_LIMIT = 8

_declared: dict[str, type[Exception]] = {}
_types: dict[str, type[TaskFailedError]] = {}


class NonRetriableError(Exception):
    """Raise it in an activity to say that trying again is of no use (FAIL-7)."""


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """What is known of a failure; `properties["bases"]` names the base classes of the original exception."""

    error_type: str
    message: str
    stack_trace: str = ""
    inner_failure: FailureDetails | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    is_non_retriable: bool = False

    def is_caused_by(self, kind: type[BaseException] | str) -> bool:
        """Tell whether this failure (not an inner one) is of that class or a subclass, or has that name (FAIL-3)."""
        names = [self.error_type, *self.properties.get("bases", ())]
        if isinstance(kind, str):
            return any(kind in (name, name.rpartition(".")[2]) for name in names)
        return qualified_name(kind) in names

    def to_members(self) -> dict[str, Any]:
        """Return the wire's members."""
        members: dict[str, Any] = {"ErrorType": self.error_type, "ErrorMessage": self.message}
        if self.stack_trace:
            members["StackTrace"] = self.stack_trace
        if self.inner_failure:
            members["InnerFailure"] = self.inner_failure.to_members()
        members["IsNonRetriable"] = self.is_non_retriable
        if self.properties:
            members["Properties"] = dict(self.properties)
        return members

    @classmethod
    def from_members(cls, members: Mapping[str, Any]) -> FailureDetails:
        """Read the wire's members."""
        inner = members.get("InnerFailure")
        return cls(
            error_type=members.get("ErrorType", ""),
            message=members.get("ErrorMessage", ""),
            stack_trace=members.get("StackTrace", ""),
            inner_failure=cls.from_members(inner) if inner else None,
            properties=members.get("Properties", {}),
            is_non_retriable=members.get("IsNonRetriable", False),
        )

    @classmethod
    def from_exception(cls, error: BaseException, *, depth: int = 0) -> FailureDetails:
        """Describe an exception: its cause, else its unsuppressed context, is the inner failure; long texts are cut."""
        if isinstance(error, TaskFailedError):
            return cls._from_task_failure(error)
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        names = [qualified_name(c) for c in type(error).__mro__[1:] if c not in (BaseException, object)]
        return cls(
            error_type=qualified_name(type(error)),
            message=cut(_text_of(error), MESSAGE_LIMIT),
            stack_trace=cut(_trace_of(error), TRACE_LIMIT),
            inner_failure=cls.from_exception(inner, depth=depth + 1) if inner and depth < INNER_LIMIT else None,
            properties={"bases": names},
            is_non_retriable=is_non_retriable(error),
        )

    @classmethod
    def _from_task_failure(cls, error: TaskFailedError) -> FailureDetails:
        """An unhandled task failure keeps its type through any number of levels (FAIL-6)."""
        inner = error.details
        text = cut(str(error), MESSAGE_LIMIT)
        return cls(
            inner.error_type,
            text,
            cut(_trace_of(error), TRACE_LIMIT),
            inner,
            inner.properties,
            is_non_retriable=inner.is_non_retriable,
        )


class TaskFailedError(DurableError):
    """A task has failed; raised in the orchestrator that awaits it.

    `kind` is `activity`, `orchestration` or `entity`; `failures` holds every failure of a `task_all`, in input order.
    """

    code = "task.failed"

    # values, not only annotations: they hide properties of the same names in a class that it also derives from
    message: str = ""
    details: FailureDetails = FailureDetails("", "")
    kind: str = ""
    sequence: int = 0
    attempts: int = 0
    failures: tuple[Exception, ...] = ()

    @classmethod
    def make(cls, text: str, details: FailureDetails, *, kind: str, sequence: int, attempts: int) -> TaskFailedError:
        """Return an instance without calling the `__init__` of a class that it may also derive from (FAIL-5)."""
        error = _make_bare(cls, text)
        Exception.__setattr__(error, "args", (text,))
        vars(error).update(message=text, details=details, kind=kind, sequence=sequence, attempts=attempts)
        return error

    def __str__(self) -> str:
        return self.message

    # a dataclass that it also derives from would look for its fields here, or refuse to be written to
    __repr__ = Exception.__repr__
    __setattr__ = Exception.__setattr__


class TaskCancelledError(DurableError):
    """The awaited task was cancelled."""

    code = "task.cancelled"
    failures: tuple[Exception, ...] = ()

    def __init__(self, sequence: int) -> None:
        super().__init__(f"Task #{sequence} was cancelled.")
        self.sequence = sequence


class EventTimeoutError(DurableError, TimeoutError):
    """No such event arrived in time."""

    code = "event.timeout"
    failures: tuple[Exception, ...] = ()

    def __init__(self, name: str, instant: str) -> None:
        super().__init__(f"No event '{name}' arrived by {instant}.")
        self.event_name = name


def register_error(kind: type[Exception], *, non_retriable: bool = False) -> type[Exception]:
    """Declare an exception class, so that failures of that type can be caught by it. Usable as a decorator."""
    _declared[qualified_name(kind)] = kind
    _types.pop(qualified_name(kind), None)
    if non_retriable:
        kind.__durable_non_retriable__ = True  # type: ignore[attr-defined]
    return kind


def failure_type(error_type: str) -> type[TaskFailedError]:
    """Return the one subclass of `TaskFailedError` for failures whose type has that name (FAIL-4).

    It derives from the class itself too where that is a builtin exception or was declared.
    """
    found = _types.get(error_type)
    if found is None:
        found = _types[error_type] = _make_type(error_type)
    return found


def is_non_retriable(error: BaseException) -> bool:
    """Tell whether the exception says that trying again is of no use."""
    return isinstance(error, NonRetriableError) or getattr(error, "__durable_non_retriable__", False) is True


def qualified_name(kind: type) -> str:
    """Return module and name, as in `builtins.ValueError`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def cut(text: str, limit: int) -> str:
    """Return the text, shortened to `limit` characters with a mark, without what databases refuse."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - len(CUT)] + CUT


def _make_type(error_type: str) -> type[TaskFailedError]:
    short = error_type.rpartition(".")[2] or "TaskFailedError"
    original = _declared.get(error_type) or _find_builtin(error_type)
    bases: tuple[type, ...] = (TaskFailedError, original) if original else (TaskFailedError,)
    try:
        return type(short, bases, {"__module__": "orchestrations.failures"})
    except TypeError:  # the class cannot be combined, for instance for its memory layout
        return type(short, (TaskFailedError,), {"__module__": "orchestrations.failures"})


def _make_bare(kind: type[TaskFailedError], text: str) -> TaskFailedError:
    """Allocate an instance by a builtin base's own `__new__`: which of them does not refuse depends on the layout."""
    error: TaskFailedError
    for native in (Exception, *(base for base in kind.__mro__ if base.__module__ == "builtins")):
        try:
            error = cast(Any, native).__new__(kind, text)
            break
        except TypeError:
            continue
    return error


def _find_builtin(error_type: str) -> type[Exception] | None:
    module, _, name = error_type.rpartition(".")
    found = getattr(builtins, name, None) if module == "builtins" else None
    if not isinstance(found, type) or not issubclass(found, Exception):
        return None
    excluded = (StopIteration, StopAsyncIteration, BaseExceptionGroup)
    return None if issubclass(found, excluded) else found


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__name__} without a readable message>"


def _trace_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-50, chain=False))
    except Exception:
        return ""


def failed_tasks(error: BaseException) -> tuple[int, ...]:
    """Return the chains that the exception names through `__cause__`, `__context__` and `failures` (RWD-2)."""
    found: dict[int, None] = {}
    todo, seen = [error], set()
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if (sequence := getattr(current, "sequence", None)) and getattr(current, "details", None):
            found[sequence] = None
        todo += [e for e in (current.__cause__, current.__context__, *getattr(current, "failures", ())) if e]
    return tuple(sorted(found))
