"""What bodies yield or await. A task settles once: completed, failed or cancelled (TSK-1…7).

Composites settle by their children; those that ask for something and settle by history events are in `asks`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import Any


class Task:
    """Something that will settle. `yield` it, or `await` it."""

    __slots__ = ("_error", "_parents", "_value", "created_at", "is_cancelled", "is_completed")

    def __init__(self, created_at: datetime) -> None:
        self.created_at = created_at
        self.is_completed = False
        self.is_cancelled = False
        self._value: Any = None
        self._error: Exception | None = None
        self._parents: list[_Composite] = []

    def __await__(self) -> Generator[Task, Any, Any]:
        return (yield self)

    @property
    def is_failed(self) -> bool:
        """True if it settled with an error, a cancellation included."""
        return self._error is not None

    @property
    def result(self) -> Any:
        """The value, or raises what the task failed with; `RuntimeError` while it has not settled."""
        if not self.is_completed:
            raise RuntimeError("The task has not settled: yield or await it first.")
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def exception(self) -> Exception | None:
        """The failure, or None."""
        return self._error

    def outcome(self) -> tuple[Any, Exception | None]:
        """Return value and failure of a settled task."""
        return self._value, self._error

    def settle(self, value: Any = None, error: Exception | None = None) -> None:
        """Settle it and tell the composites that it is part of; once settled, nothing happens any more."""
        if self.is_completed:
            return
        self.is_completed, self._value, self._error = True, value, error
        for parent in self._parents:
            parent.child_settled(self)
        self._parents = []

    def join(self, parent: _Composite) -> None:
        """Make it a part of `parent`."""
        self._parents.append(parent)

    def leaves(self) -> Iterator[Task]:
        """Yield the atomic tasks below it that have not settled."""
        if not self.is_completed:
            yield self

    def describe(self) -> dict[str, Any]:
        """Say what it waits for, for people: the members of `client.status.Wait`."""
        return {"kind": "task"}


class SettledTask(Task):
    """A task that is born settled: the answer to something that is no task, or asked for after the end."""

    __slots__ = ()

    def __init__(self, created_at: datetime, error: Exception | None = None) -> None:
        super().__init__(created_at)
        self.settle(error=error)


class _Composite(Task):
    __slots__ = ("children",)

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at)
        self.children = list(children)
        for child in self.children:
            if not isinstance(child, Task):
                raise TypeError(f"task_all and task_any take tasks made by the context, not {type(child).__name__}.")

    def child_settled(self, child: Task) -> None:
        raise NotImplementedError

    def leaves(self) -> Iterator[Task]:
        if not self.is_completed:
            for child in self.children:
                yield from child.leaves()


class AllTask(_Composite):
    """Settles when all children have: with their results in input order, or the first failure in that order (TSK-4)."""

    __slots__ = ("_open",)

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at, children)
        unsettled = [child for child in self.children if not child.is_completed]
        self._open = len(unsettled)
        for child in unsettled:
            child.join(self)
        if not self._open:
            self._settle_by_children()

    def child_settled(self, child: Task) -> None:
        """Settle by the last child."""
        self._open -= 1
        if not self._open:
            self._settle_by_children()

    def _settle_by_children(self) -> None:
        failures = tuple(child._error for child in self.children if child._error is not None)
        if not failures:
            return self.settle([child._value for child in self.children])
        first = failures[0]
        vars(first)["failures"] = failures
        return self.settle(error=first)


class AnyTask(_Composite):
    """Settles with the first settled child itself, failed or not; it never raises (TSK-5)."""

    __slots__ = ()

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at, children)
        if not self.children:
            raise ValueError("task_any needs at least one task.")
        if settled := next((child for child in self.children if child.is_completed), None):
            self.settle(settled)
        else:
            for child in self.children:
                child.join(self)

    def child_settled(self, child: Task) -> None:
        self.settle(next(c for c in self.children if c.is_completed))  # one event may have settled several
