"""Failures as values, and the exceptions that they become in an orchestrator (FAIL-1…7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from orchestrations.engine import exceptions
from orchestrations.engine.exceptions import cut as cut
from orchestrations.engine.exceptions import facts_of, qualified_name
from orchestrations.errors import DurableError

MESSAGE_LIMIT = 8 * 1024
TRACE_LIMIT = 32 * 1024
INNER_LIMIT = 8
NON_RETRIABLE = "__durable_non_retriable__"
"""The attribute of a class that was declared to be non-retriable."""

E = TypeVar("E", bound=BaseException)


class NonRetriableError(Exception):
    """Raise it in an activity to say that trying again is of no use (FAIL-7)."""


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """What is known of a failure.

    `properties["bases"]` names the base classes of the original exception; of a group, `properties["members"]` names
    the classes and base classes of its members.
    """

    error_type: str
    message: str
    stack_trace: str = ""
    inner_failure: FailureDetails | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    is_non_retriable: bool = False

    @property
    def bases(self) -> tuple[str, ...]:
        """Names of the base classes of the original exception, the nearest first."""
        return _texts(self.properties.get("bases"))

    def is_caused_by(self, kind: type[BaseException] | str) -> bool:
        """Tell whether this failure is of that class or a subclass, or has that name (FAIL-3).

        It does not look at inner failures; a group is what any of its members is.
        """
        names = [self.error_type, *self.bases, *_texts(self.properties.get("members"))]
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
        """Describe an exception: its cause, else its unsuppressed context, is the inner failure; long texts are cut.

        A group without a cause has its first member as the inner failure. Never raises, whatever the exception does.
        """
        if issubclass(type(error), TaskFailedError):
            details = facts_of(error).get("details")
            if isinstance(details, FailureDetails):
                return cls._from_task_failure(error, details)
        members = exceptions.members_of(error)
        inner = exceptions.cause_of(error)
        if inner is None and members:
            inner = members[0]
        properties = {"bases": exceptions.base_names(type(error))}
        if members:
            properties["members"] = exceptions.names_of_all(members)
        return cls(
            error_type=qualified_name(type(error)),
            message=cut(exceptions.text_of(error), MESSAGE_LIMIT),
            stack_trace=cut(exceptions.trace_of(error), TRACE_LIMIT),
            inner_failure=None if inner is None or depth >= INNER_LIMIT else cls.from_exception(inner, depth=depth + 1),
            properties=properties,
            is_non_retriable=is_non_retriable(error),
        )

    @classmethod
    def _from_task_failure(cls, error: BaseException, inner: FailureDetails) -> FailureDetails:
        """An unhandled task failure keeps its type through any number of levels (FAIL-6)."""
        text = cut(exceptions.text_of(error), MESSAGE_LIMIT)
        trace = cut(exceptions.trace_of(error), TRACE_LIMIT)
        return cls(inner.error_type, text, trace, inner, inner.properties, is_non_retriable=inner.is_non_retriable)


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
    failures: tuple[BaseException, ...] = ()

    @classmethod
    def make(cls, text: str, details: FailureDetails, *, kind: str, sequence: int, attempts: int) -> TaskFailedError:
        """Return an instance without calling the `__init__` of a class that it may also derive from (FAIL-5)."""
        error = make_bare(cls, text)
        facts = {"message": text, "details": details, "kind": kind, "sequence": sequence, "attempts": attempts}
        facts_of(error).update(facts)
        return error

    def __str__(self) -> str:
        return self.message

    # a dataclass that it also derives from would look for its fields here, or refuse to be written to
    __repr__ = Exception.__repr__
    __setattr__ = Exception.__setattr__


class TaskCancelledError(DurableError):
    """The awaited task was cancelled; `sequence` is 0 for a wait without a timeout, which has no number."""

    code = "task.cancelled"
    failures: tuple[BaseException, ...] = ()

    def __init__(self, what: str, sequence: int) -> None:
        super().__init__(f"{what} was cancelled.")
        self.sequence = sequence


class EventTimeoutError(DurableError, TimeoutError):
    """No such event arrived in time."""

    code = "event.timeout"
    failures: tuple[BaseException, ...] = ()

    def __init__(self, name: str, instant: str) -> None:
        super().__init__(f"No event '{name}' arrived by {instant}.")
        self.event_name = name


def is_non_retriable(error: BaseException) -> bool:
    """Tell whether the exception says that trying again is of no use."""
    try:
        return issubclass(type(error), NonRetriableError) or getattr(type(error), NON_RETRIABLE, False) is True
    except BaseException:  # its metaclass answers for attributes
        return False


def with_failures(error: BaseException, failures: tuple[BaseException, ...]) -> BaseException:
    """Return the error to raise for several: a copy of the first that names all of them (TSK-4).

    A copy, because one failed task may be part of several `task_all`. An exception of the author's own, from `handle`,
    cannot be copied and is marked itself.
    """
    if issubclass(type(error), TaskFailedError | TaskCancelledError | EventTimeoutError):
        copy = make_bare(type(error), *error.args)
        facts_of(copy).update(facts_of(error))
        error = copy
    facts_of(error)["failures"] = failures
    return error


def failed_tasks(error: BaseException) -> tuple[int, ...]:
    """Return the chains that the exception names through `__cause__`, `__context__` and `failures` (RWD-2)."""
    found, seen = set(), set()
    todo = [error]
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        facts = facts_of(current)
        sequence = facts.get("sequence")
        if issubclass(type(current), TaskFailedError) and type(sequence) is int:
            found.add(sequence)
        failures = facts.get("failures")
        todo += exceptions.links_of(current)
        todo += [e for e in failures if issubclass(type(e), BaseException)] if type(failures) is tuple else []
    return tuple(sorted(found))


def make_bare(kind: type[E], *args: Any) -> E:
    """Allocate an exception by a builtin base's own `__new__`, without `__init__`.

    Which of the bases does not refuse depends on the layout.
    """
    natives = (Exception, *(base for base in kind.__mro__ if base.__module__ == "builtins"))
    for native in natives:
        try:
            error = cast(E, cast(Any, native).__new__(kind, *args))
        except TypeError:
            continue
        BaseException.__setattr__(error, "args", args)
        return error
    raise TypeError(f"{kind!r} cannot be made.")


def _texts(value: Any) -> tuple[str, ...]:
    """Names that come from a payload, which may hold anything."""
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list | tuple) else ()
