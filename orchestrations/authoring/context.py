"""OrchestrationContext: all that an orchestrator may see and ask for (docs/semantics.md).

Every member may be called during replay and then gives what it gave first. A task is scheduled when it is created,
awaited or not (TSK-1). After the orchestrator has ended nothing that it calls has an effect (ORC-4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import datetime
from typing import Any, cast

from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, Function, name_of
from orchestrations.engine import ids, payloads
from orchestrations.engine.calls import CallTask
from orchestrations.engine.events import (
    EventSent,
    ExecutionStarted,
    SubOrchestrationInstanceCreated,
    TaskScheduled,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.results import Continuation
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.tasks import AllTask, AnyTask, Task
from orchestrations.engine.timers import TimerTask
from orchestrations.engine.times import Duration, instant
from orchestrations.engine.waits import NOTHING, EventTask
from orchestrations.errors import InvalidError

Callee = str | Callable[..., Any]


class OrchestrationContext:
    """The orchestrator's only door to the world."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self.logger = self.create_replay_safe_logger(logging.getLogger("orchestrations.orchestrator"))

    # --- tasks

    def call_activity(self, name_or_function: Callee, input_: Any = None, *, retry: RetryOptions | None = None) -> Task:
        """Schedule an activity; the task gives its result or raises `TaskFailedError`."""
        name = name_of(ACTIVITY, name_or_function)
        if retry is not None:
            _check_retry(retry)
        if self._execution.is_sealed:
            return self._dead()
        text = self._execution.dump_input(TaskScheduled, name, input_, f"The input of activity '{name}'")
        return CallTask(self._execution, name, text, retry=retry)

    def call_activity_with_retry(
        self, name_or_function: Callee, retry_options: RetryOptions, input_: Any = None
    ) -> Task:
        """`call_activity` under Azure's name for it."""
        return self.call_activity(name_or_function, input_, retry=retry_options)

    def call_sub_orchestrator(
        self,
        name_or_function: Callee,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        retry: RetryOptions | None = None,
    ) -> Task:
        """Start another orchestration; the task gives its output or raises `TaskFailedError`.

        Without `instance_id` the child's id is made from this one's (SUB-1); without `version` it gets the worker's
        default, never this one's (VER-1).
        """
        name = name_of(ORCHESTRATOR, name_or_function)
        if retry is not None:
            _check_retry(retry)
        if instance_id is not None:
            ids.check_instance_id(instance_id)
        if version is not None:
            ids.check_name(version, "The version of an orchestrator")
        if self._execution.is_sealed:
            return self._dead()
        text = self._execution.dump_input(
            SubOrchestrationInstanceCreated, name, input_, f"The input of orchestrator '{name}'"
        )
        version = version or self._execution.default_version
        return CallTask(self._execution, name, text, is_child=True, child_id=instance_id, version=version, retry=retry)

    def call_sub_orchestrator_with_retry(
        self,
        name_or_function: Callee,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Task:
        """`call_sub_orchestrator` under Azure's name for it."""
        return self.call_sub_orchestrator(name_or_function, input_, instance_id, version, retry=retry_options)

    def create_timer(self, fire_at: datetime | Duration) -> TimerTask:
        """Return a durable timer of any horizon; it never fires early (TIM-2). `cancel()` it when it lost a race.

        `fire_at` is an instant, or a `timedelta` or seconds from now; `InvalidError` (`time.invalid`) otherwise.
        """
        at = instant(fire_at, self._execution.now, "The time of a timer")
        if self._execution.is_sealed:
            return cast(TimerTask, self._dead())
        return TimerTask(self._execution, at)

    def wait_for_external_event(
        self, name: str, timeout: datetime | Duration | None = None, default: Any = NOTHING
    ) -> EventTask:
        """Wait for one event of that name, whatever its case; one that came early is taken at once (EVT-1…3).

        With a timeout, an instant or a duration, the task then gives `default`, or raises `EventTimeoutError` without
        one (EVT-4).
        """
        ids.check_name(name, "The name of an event")
        until = None if timeout is None else instant(timeout, self._execution.now, "The timeout of a wait")
        if self._execution.is_sealed:
            return cast(EventTask, self._dead())
        return EventTask(self._execution, name, until, default)

    def task_all(self, tasks: Iterable[Task]) -> AllTask:
        """Wait for all tasks: their results in input order, or the first failure in that order (TSK-4)."""
        return AllTask(self._execution.now, list(tasks))

    def task_any(self, tasks: Iterable[Task]) -> AnyTask:
        """Wait for the first task that settles: the task itself, failed or not (TSK-5)."""
        return AnyTask(self._execution.now, list(tasks))

    # --- one-way

    def send_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Send an event to another instance of the hub, once; unknown and ended ones drop it (EVT-6)."""
        ids.check_instance_id(instance_id)
        ids.check_name(event_name, "The name of an event")
        if not self._execution.is_sealed:
            text = self._execution.dump_input(EventSent, event_name, event_data, f"The data of event '{event_name}'")
            sequence, now = self._execution.take_sequence(), self._execution.now
            self._execution.ask(
                EventSent(timestamp=now, event_id=sequence, instance_id=instance_id, name=event_name, input=text)
            )

    def continue_as_new(
        self, input_: Any = None, preserve_unprocessed_events: bool = True, *, new_version: str | None = None
    ) -> None:
        """End this execution when the code next yields, awaits or returns, and begin a new one without history.

        Raises `PayloadError` for an input beyond the limits, on replay again; then the execution goes on.
        """
        if new_version is not None:
            ids.check_name(new_version, "The version of an orchestrator")
        limits = self._execution.continuation_limits
        text = None if input_ is None else payloads.dump(input_, "The input of continue_as_new", limits)
        self._execution.continue_as_new(Continuation(text, preserve_unprocessed_events, new_version))

    def set_custom_status(self, status: Any) -> None:
        """Show a JSON value of at most 16 KiB with the instance; the last one of a turn is stored (CST-1).

        Raises `PayloadError` for a larger one; its size is not checked on replay, so decide nothing by that.
        """
        if not self._execution.is_sealed:
            self._execution.set_custom_status(status)

    # --- facts

    def get_input(self) -> Any:
        """Return the input, decoded; None if there is none."""
        return payloads.load(self._started.input)

    def new_uuid(self) -> str:
        """Return a UUID that is the same on every replay (TIM-3)."""
        counter = self._execution.uuid_counter
        self._execution.uuid_counter += 1
        return ids.new_uuid(self.instance_id, self.current_utc_datetime, counter)

    def create_replay_safe_logger(self, logger: logging.Logger) -> ReplaySafeLogger:
        """Return a logger that is silent during replay (TIM-4)."""
        return ReplaySafeLogger(logger, self._execution)

    @property
    def instance_id(self) -> str:
        """This instance's id."""
        return self._execution.instance_id

    @property
    def parent_instance_id(self) -> str | None:
        """The id of the instance that started this one as a sub-orchestration, or None."""
        return self._started.parent.instance_id if self._started.parent else None

    @property
    def version(self) -> str | None:
        """The version given at start, or None (VER-1)."""
        return self._started.version

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags given at start."""
        return self._started.tags or {}

    @property
    def is_replaying(self) -> bool:
        """True while history that an earlier turn committed is applied."""
        return self._execution.is_replaying

    @property
    def current_utc_datetime(self) -> datetime:
        """Aware UTC, constant within a turn, never going back (TIM-1)."""
        return self._execution.now

    @property
    def custom_status(self) -> Any:
        """The custom status that was set last, decoded; continue-as-new keeps it."""
        return payloads.load(self._execution.custom_status)

    @property
    def _started(self) -> ExecutionStarted:
        assert self._execution.started is not None
        return self._execution.started

    def _dead(self) -> _DeadTask:
        """Return a task that never settles: nothing asked for after the end has an effect."""
        return _DeadTask(self._execution.now)


class _DeadTask(Task):
    __slots__ = ()

    def cancel(self) -> bool:
        """Do nothing."""
        return False


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Silent while replaying; adds the instance id to each record."""

    def __init__(self, logger: logging.Logger, execution: Execution) -> None:
        super().__init__(logger, {})
        self._execution = execution

    def isEnabledFor(self, level: int) -> bool:
        """Tell whether a record of that level would be written now."""
        return not self._execution.is_replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the instance id as the record's `durable_instance`."""
        extra = dict(kwargs.get("extra") or {}) | {"durable_instance": self._execution.instance_id}
        return msg, {**kwargs, "extra": extra}


def _check_retry(retry: Any) -> None:
    if not isinstance(retry, RetryOptions):
        text = f"The retries of a call must be RetryOptions, not {type(retry).__name__}."
        raise InvalidError(text, code="retry.invalid")


def body_of(function: Function) -> Callable[[Execution], Any]:
    """Return what `Turn` calls to start the orchestrator."""

    def start(execution: Execution) -> Any:
        context = OrchestrationContext(execution)
        return function.call(context) if function.parameters == 1 else function.call(context, context.get_input())

    return start
