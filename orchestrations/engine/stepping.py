"""Stepping: lets one body run on while what it awaits has settled, and takes down how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrations.engine import payloads
from orchestrations.engine.bodies import Body, Finished
from orchestrations.engine.exceptions import name_of, text_of
from orchestrations.engine.execution import Execution
from orchestrations.engine.failures import FailureDetails, failed_tasks
from orchestrations.engine.results import Completion
from orchestrations.engine.state import Status
from orchestrations.engine.tasks import SettledTask, Task

TASK_REQUIRED = "An orchestrator may only yield or await tasks made by its context, not {}. {}"
NO_LOOP = "no running event loop"
"""What asyncio says where no event loop runs, as in an orchestrator."""


class Stepper:
    """The body of an execution. `completion` is set once it has ended; no exception of user code leaves it."""

    def __init__(self, start: Callable[[Execution], Any], execution: Execution) -> None:
        self._start, self._execution = start, execution
        self._body: Body | None = None
        self.awaited: Task | None = None
        self.completion: Completion | None = None

    def begin(self) -> None:
        """Call the orchestrator, and let it run to its first wait."""
        self._step()
        self.run()

    def run(self) -> None:
        """Step the body while what it awaits has settled (ORC-5)."""
        while self._body is not None and self._execution.refusal is None and self.completion is None:
            if self.awaited is not None and not self.awaited.is_completed:
                return
            self._step()

    def close(self) -> None:
        """Seal the execution and end the suspended body: its `finally` blocks schedule nothing (ORC-4)."""
        self._execution.is_sealed = True
        if self._body is not None:
            self._body.close()
            self._body = self.awaited = None

    def _step(self) -> None:
        """Start the body, or let it run on by one step with what it awaited."""
        try:
            if self._body is None:
                self._body = Body(self._start(self._execution))
                return
            yielded = self._body.step(*(self.awaited.outcome() if self.awaited else ()))
        except Finished as finished:
            self._end(finished.value)
        except BaseException as error:
            # whatever it is, it is the author's; after a refusal it does not count
            if self._execution.refusal is None:
                self._end_failed(error)
        else:
            if self._execution.continuation is not None:
                self._end(None)
            elif issubclass(type(yielded), Task):
                self.awaited = yielded
            else:
                self.awaited = SettledTask(self._execution.now, TypeError(task_required(type(yielded))))

    def _end(self, value: Any) -> None:
        continuation, name = self._execution.continuation, self._execution.name
        try:
            if continuation is not None:
                self.completion = Completion(Status.CONTINUED_AS_NEW, continuation=continuation)
            else:
                text = payloads.dump(value, f"The result of {name}", self._execution.payload_limits)
                self.completion = Completion(Status.COMPLETED, result=text)
        except BaseException as error:  # no JSON, too large, or a mapping of the author's that raises
            return self._end_failed(error)
        return self.close()

    def _end_failed(self, error: BaseException) -> None:
        if self._execution.continuation is not None:
            return self._end(None)  # an exception after the decision changes nothing (CAN-1)
        tasks = failed_tasks(error) or None
        if type(error) is RuntimeError and text_of(error) == NO_LOOP:
            advice = "Use context.create_timer to wait, and move other work into an activity."
            text = TASK_REQUIRED.format("what needs an event loop, as all of asyncio does", advice)
            error = TypeError(text).with_traceback(error.__traceback__)
        self.completion = Completion(Status.FAILED, failure=FailureDetails.from_exception(error), failed_tasks=tasks)
        return self.close()


def task_required(kind: type) -> str:
    """Return what to say to an author who yielded something that is no task (ORC-2)."""
    several = issubclass(kind, list | tuple | set | frozenset | dict)
    advice = "Wait for several tasks by task_all or task_any." if several else "Move other work into an activity."
    return TASK_REQUIRED.format(name_of(kind), advice)
