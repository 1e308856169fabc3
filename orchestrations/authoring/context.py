"""OrchestrationContext: all that an orchestrator may see and ask for (semantics §3 to §8).

Every member may be called during replay and then gives what it gave first. A task is scheduled when it is created,
awaited or not (TSK-1). After the orchestrator has ended nothing that it calls has an effect (ORC-4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import datetime, timedelta
from typing import Any, cast

from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, Function, registry
from orchestrations.engine import ids, payloads
from orchestrations.engine.asks import NOTHING, CallTask, EventTask, TimerTask, instant
from orchestrations.engine.events import EventSent, ExecutionStarted
from orchestrations.engine.results import Continuation
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.tasks import AllTask, AnyTask, Task
from orchestrations.engine.turn import Turn

Callee = str | Callable[..., Any]


class OrchestrationContext:
    """The orchestrator's only door to the world."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.logger = self.create_replay_safe_logger(logging.getLogger("orchestrations.orchestrator"))

    # --- tasks

    def call_activity(self, name_or_function: Callee, input_: Any = None, *, retry: RetryOptions | None = None) -> Task:
        """Schedule an activity; the task gives its result or raises `TaskFailedError`."""
        name = registry.name_of(ACTIVITY, name_or_function)
        if self._turn.is_sealed:
            return self._dead()
        text = self._dump(input_, f"The input of activity '{name}'")
        return CallTask(self._turn, name, text, retry=retry)

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

        Without `instance_id` the child's id is made from this one's (SUB-1).
        """
        name = registry.name_of(ORCHESTRATOR, name_or_function)
        if self._turn.is_sealed:
            return self._dead()
        if instance_id is not None:
            ids.check_instance_id(instance_id)
        text = self._dump(input_, f"The input of orchestrator '{name}'")
        return CallTask(self._turn, name, text, is_child=True, child_id=instance_id, version=version, retry=retry)

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

    def create_timer(self, fire_at: datetime | timedelta) -> TimerTask:
        """Return a durable timer of any horizon; it never fires early (TIM-2). `cancel()` it when it lost a race."""
        if self._turn.is_sealed:
            return cast(TimerTask, self._dead())
        return TimerTask(self._turn, instant(self._turn, fire_at))

    def wait_for_external_event(
        self, name: str, timeout: timedelta | datetime | None = None, default: Any = NOTHING
    ) -> EventTask:
        """Wait for one event of that name, whatever its case; one that came early is taken at once (EVT-1…3).

        With a timeout the task then gives `default`, or raises `EventTimeoutError` without one (EVT-4).
        """
        ids.check_name(name, "The name of an event")
        if self._turn.is_sealed:
            return cast(EventTask, self._dead())
        until = None if timeout is None else instant(self._turn, timeout)
        return EventTask(self._turn, name, until, default)

    def task_all(self, tasks: Iterable[Task]) -> AllTask:
        """Wait for all tasks: their results in input order, or the first failure in that order (TSK-4)."""
        return AllTask(self._turn.now, list(tasks))

    def task_any(self, tasks: Iterable[Task]) -> AnyTask:
        """Wait for the first task that settles: the task itself, failed or not (TSK-5)."""
        return AnyTask(self._turn.now, list(tasks))

    # --- one-way

    def send_event(self, instance_id: str, event_name: str, event_data: Any = None) -> None:
        """Send an event to another instance of the hub, once; unknown and ended ones drop it (EVT-6)."""
        ids.check_instance_id(instance_id)
        ids.check_name(event_name, "The name of an event")
        if not self._turn.is_sealed:
            text = self._dump(event_data, f"The data of event '{event_name}'")
            sequence, now = self._turn.take_sequence(), self._turn.now
            self._turn.ask(
                EventSent(timestamp=now, event_id=sequence, instance_id=instance_id, name=event_name, input=text)
            )

    def continue_as_new(
        self, input_: Any = None, preserve_unprocessed_events: bool = True, *, new_version: str | None = None
    ) -> None:
        """End this execution when the code next yields, awaits or returns, and begin a new one without history."""
        text = self._dump(input_, "The input of continue_as_new")
        self._turn.continue_as_new(Continuation(text, preserve_unprocessed_events, new_version))

    def set_custom_status(self, status: Any) -> None:
        """Show a JSON value of at most 16 KiB with the instance; the last one of a turn is stored (CST-1)."""
        if not self._turn.is_sealed:
            self._turn.set_custom_status(status)

    # --- facts

    def get_input(self) -> Any:
        """Return the input, decoded; None if there is none."""
        return payloads.load(self._started.input)

    def new_uuid(self) -> str:
        """Return a UUID that is the same on every replay (TIM-3)."""
        counter = self._turn.uuid_counter
        self._turn.uuid_counter += 1
        return ids.new_uuid(self.instance_id, self.current_utc_datetime, counter)

    def create_replay_safe_logger(self, logger: logging.Logger) -> ReplaySafeLogger:
        """Return a logger that is silent during replay (TIM-4)."""
        return ReplaySafeLogger(logger, self._turn)

    @property
    def instance_id(self) -> str:
        """This instance's id."""
        return self._turn.instance_id

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
        return self._turn.is_replaying

    @property
    def current_utc_datetime(self) -> datetime:
        """Aware UTC, constant within a turn, never going back (TIM-1)."""
        return self._turn.now

    @property
    def custom_status(self) -> Any:
        """The custom status that this execution set last, decoded."""
        return payloads.load(self._turn.custom_status)

    @property
    def _started(self) -> ExecutionStarted:
        assert self._turn.started is not None
        return self._turn.started

    def _dump(self, value: Any, what: str) -> str | None:
        return None if value is None else payloads.dump(value, what, self._turn.payload_limits)

    def _dead(self) -> _DeadTask:
        """Return a task that never settles: nothing asked for after the end has an effect."""
        return _DeadTask(self._turn.now)


class _DeadTask(Task):
    __slots__ = ()

    def cancel(self) -> bool:
        """Do nothing."""
        return False


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Silent while replaying; adds the instance id to each record."""

    def __init__(self, logger: logging.Logger, turn: Turn) -> None:
        super().__init__(logger, {})
        self._turn = turn

    def isEnabledFor(self, level: int) -> bool:
        """Tell whether a record of that level would be written now."""
        return not self._turn.is_replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the instance id as the record's `durable_instance`."""
        extra = dict(kwargs.get("extra") or {}) | {"durable_instance": self._turn.instance_id}
        return msg, {**kwargs, "extra": extra}


def body_of(function: Function) -> Callable[[Turn], Any]:
    """Return what `Turn` calls to start the orchestrator."""

    def start(turn: Turn) -> Any:
        context = OrchestrationContext(turn)
        return function.call(context) if function.parameters == 1 else function.call(context, context.get_input())

    return start
