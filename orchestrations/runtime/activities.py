"""Run one activity: look it up, call it, time it, and make its outcome an event. User code runs in no transaction."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from orchestrations import telemetry
from orchestrations.authoring.activity_context import ActivityContext
from orchestrations.authoring.registry import ACTIVITY, Function, registry
from orchestrations.conf import conf
from orchestrations.engine import payloads
from orchestrations.engine.events import TaskCompleted, TaskFailed
from orchestrations.engine.failures import FailureDetails, cut
from orchestrations.errors import PayloadError
from orchestrations.faults import crashpoint
from orchestrations.runtime.pace import Pace
from orchestrations.runtime.watch import Watch
from orchestrations.store import clock
from orchestrations.store.activities import Result
from orchestrations.store.claims import ClaimedActivity

LOST = "WorkerLost"


class ActivityRunner:
    """Calls activities, one at a time. `is_spoilt`: a call ended in a way after which the process must not go on."""

    def __init__(self, pace: Pace, watch: Watch | None = None) -> None:
        self._pace, self._watch = pace, watch
        self._loop: asyncio.AbstractEventLoop | None = None
        # read once: these are asked for at every call
        self._limits, self._seconds = payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH), conf.ACTIVITY_SECONDS
        self.is_spoilt = False

    def run(self, activity: ClaimedActivity) -> Result | None:
        """Run the attempt and return its outcome; None if this worker does not have the function."""
        function = registry.find(ACTIVITY, activity.name)
        if function is None:
            return None
        if refusal := _refuse_lost(activity, function):
            telemetry.report(telemetry.ACTIVITY_LOST, activity=activity.name, attempts=activity.losses)
            return Result(activity, _failed(activity, FailureDetails(LOST, refusal, is_non_retriable=False)))
        seconds = function.timeout.total_seconds() if function.timeout else self._seconds
        if self._watch is not None:
            self._watch.begin(activity.id, seconds)
        began = time.perf_counter()
        try:
            crashpoint("before-activity")
            event = self._call(activity, function)
            crashpoint("after-activity")
        finally:
            self._pace.note(activity.name, time.perf_counter() - began)
            if self._watch is not None:
                self._watch.end()
        _restore_connection()
        return Result(activity, event)

    def close(self) -> None:
        """End the event loop of `async def` activities."""
        if self._loop is not None:
            self._loop.close()

    def _call(self, activity: ClaimedActivity, function: Function) -> TaskCompleted | TaskFailed:
        try:
            value = function.call(*_arguments(activity, function))
            if inspect.iscoroutine(value):
                value = self._run_loop(value)
            text = payloads.dump(value, f"The result of {activity.name}", self._limits)
        except PayloadError as error:
            return _failed(activity, _non_retriable(error))
        except Exception as error:
            return _failed(activity, FailureDetails.from_exception(error))
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            self.is_spoilt = True
            return _failed(activity, FailureDetails.from_exception(error))
        return TaskCompleted(
            timestamp=clock.now(), task_scheduled_id=activity.sequence, result=text, attempt=_attempt(activity)
        )

    def _run_loop(self, coroutine: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)


def _arguments(activity: ClaimedActivity, function: Function) -> tuple[Any, ...]:
    value = payloads.load(activity.input)
    makers: dict[int, Callable[[], tuple[Any, ...]]] = {
        0: tuple,
        1: lambda: (value,),
        2: lambda: (_context(activity), value),
    }
    return makers[function.parameters]()


def _context(activity: ClaimedActivity) -> ActivityContext:
    key = f"{activity.hub}/{activity.instance_id}/{activity.execution}/{activity.sequence}"
    return ActivityContext(activity.instance_id, activity.sequence, activity.attempt, key, activity.name)


def _refuse_lost(activity: ClaimedActivity, function: Function) -> str:
    if not activity.losses:
        return ""
    if activity.losses >= conf.LOST_ATTEMPTS:
        return f"A worker was lost {activity.losses} times while it ran {activity.name}. See the workers' logs."
    if function.at_most_once:
        return f"A worker was lost while it ran {activity.name}, which may run at most once."
    return ""


def _failed(activity: ClaimedActivity, details: FailureDetails) -> TaskFailed:
    return TaskFailed(
        timestamp=clock.now(),
        task_scheduled_id=activity.sequence,
        reason=cut(details.message, 8 * 1024),
        failure_details=details,
        attempt=_attempt(activity),
    )


def _attempt(activity: ClaimedActivity) -> int | None:
    return activity.attempt if activity.attempt > 1 else None


def _non_retriable(error: PayloadError) -> FailureDetails:
    details = FailureDetails.from_exception(error)
    return FailureDetails(details.error_type, details.message, properties={"code": error.code}, is_non_retriable=True)


def _restore_connection() -> None:
    """User code may have left a transaction open on our connection: then it is closed, and opened anew when needed."""
    used = connections[DEFAULT_DB_ALIAS]
    if used.connection is not None and (used.in_atomic_block or not used.autocommit):
        used.in_atomic_block = False
        used.close()
