"""What bodies yield or await. A task settles once: completed, failed or cancelled (TSK-1…7).

Composites settle by their children; those that settle by history events are in `calls`, `timers` and `waits`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from orchestrations.engine.failures import with_failures


class Task:
    """Something that will settle. `yield` it, or `await` it."""

    __slots__ = ("_error", "_parents", "_value", "created_at", "is_cancelled", "is_completed")
    is_event_wait: ClassVar[bool] = False

    def __init__(self, created_at: datetime) -> None:
        self.created_at = created_at
        self.is_completed = False
        self.is_cancelled = False
        self._value: Any = None
        self._error: BaseException | None = None
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
    def exception(self) -> BaseException | None:
        """The failure, or None."""
        return self._error

    def outcome(self) -> tuple[Any, BaseException | None]:
        """Return value and failure of a settled task."""
        return self._value, self._error

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Settle it and tell the composites that it is part of; once settled, nothing happens any more."""
        if self.is_completed:
            return
        self.is_completed, self._value, self._error = True, value, error
        parents, self._parents = self._parents, []
        for parent in parents:
            parent.child_settled(self)

    def join(self, parent: _Composite) -> None:
        """Make it a part of `parent`."""
        self._parents.append(parent)

    def leave(self, parent: _Composite) -> None:
        """`parent` has settled and need not be told any more."""
        if parent in self._parents:
            self._parents.remove(parent)

    @property
    def failures(self) -> tuple[BaseException, ...]:
        """Every failure below it, in input order (TSK-4)."""
        return () if self._error is None else (self._error,)

    def leaves(self) -> Iterator[Task]:
        """Yield the atomic tasks below it that have not settled."""
        if not self.is_completed:
            yield self

    def event_waits(self) -> Iterator[Task]:
        """Yield the waits for events among its `leaves`, without looking at the others."""
        return iter(())

    def count_open(self) -> int:
        """Return the number of its `leaves`."""
        return 0 if self.is_completed else 1

    def describe(self) -> dict[str, Any]:
        """Say what it waits for, for people: the members of `client.status.Wait`."""
        return {"kind": "task"}


class SettledTask(Task):
    """A task that is born settled: the answer to something that is no task, or asked for after the end."""

    __slots__ = ()

    def __init__(self, created_at: datetime, error: BaseException | None = None) -> None:
        super().__init__(created_at)
        self.settle(error=error)


class _Composite(Task):
    __slots__ = ("_composites", "_waits", "children")

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at)
        self.children = list(children)
        for child in self.children:
            if not isinstance(child, Task):
                raise TypeError(f"task_all and task_any take tasks made by the context, not {type(child).__name__}.")
        self._composites = [child for child in self.children if isinstance(child, _Composite)]
        self._waits = [child for child in self.children if child.is_event_wait or isinstance(child, _Composite)]

    def child_settled(self, child: Task) -> None:
        raise NotImplementedError

    def leaves(self) -> Iterator[Task]:
        if not self.is_completed:
            for child in self.children:
                yield from child.leaves()

    def event_waits(self) -> Iterator[Task]:
        if not self.is_completed:
            for child in self._waits:
                yield from child.event_waits()

    def count_open(self) -> int:
        if self.is_completed:
            return 0
        simple = self._open_children() - sum(not child.is_completed for child in self._composites)
        return simple + sum(child.count_open() for child in self._composites)

    def _open_children(self) -> int:
        raise NotImplementedError


class AllTask(_Composite):
    """Settles when all children have: with their results in input order, or the first failure in that order (TSK-4)."""

    __slots__ = ("_failures", "_open")

    def __init__(self, created_at: datetime, children: Sequence[Task]) -> None:
        super().__init__(created_at, children)
        self._failures: tuple[BaseException, ...] = ()
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

    @property
    def failures(self) -> tuple[BaseException, ...]:
        """Every failure of its children, those of a nested `task_all` included, in input order."""
        return self._failures

    def _open_children(self) -> int:
        return self._open

    def _settle_by_children(self) -> None:
        self._failures = tuple(failure for child in self.children for failure in child.failures)
        if self._failures:
            self.settle(error=with_failures(self._failures[0], self._failures))
        else:
            self.settle([child._value for child in self.children])


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
        for other in self.children:
            other.leave(self)  # else a task that takes part in many races remembers them all
        self.settle(next(c for c in self.children if c.is_completed))  # one event may have settled several

    def _open_children(self) -> int:
        return len(self.children)
