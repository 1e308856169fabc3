"""Run activities in the worker's main thread, one at a time: look up, call, time, make the outcome an event.

User code runs in no transaction and in a copy of the context. `async def` functions and those that are declared with
`thread=True` run beside it, in the lanes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from django.db import Error

from orchestrations import telemetry
from orchestrations.authoring.activity_context import ActivityContext, occupied
from orchestrations.authoring.registry import ACTIVITY, Function, registry
from orchestrations.conf import conf
from orchestrations.engine import payloads
from orchestrations.engine.events import TaskFailed
from orchestrations.faults import crashpoint
from orchestrations.runtime import outcomes
from orchestrations.runtime.outcomes import Outcome
from orchestrations.runtime.pace import Pace
from orchestrations.runtime.retries import through_locks
from orchestrations.runtime.surroundings import Surroundings
from orchestrations.runtime.watch import Watch
from orchestrations.store import activities, clock, losses
from orchestrations.store.activities import Result
from orchestrations.store.claimed import ClaimedActivity


class ActivityRunner:
    """Calls activities for one worker. `is_spoilt`: a call ended in a way after which the process must not go on."""

    def __init__(
        self, owner: str, pace: Pace, watch: Watch | None = None, surroundings: Surroundings | None = None
    ) -> None:
        self._owner, self._pace, self._watch = owner, pace, watch
        self._surroundings = surroundings or Surroundings()
        # read once: these are asked for at every call
        self.limits, self._seconds = payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH), conf.ACTIVITY_SECONDS
        self._is_spoilt = False

    @property
    def is_spoilt(self) -> bool:
        """True once the process is to be replaced."""
        return self._is_spoilt or self._surroundings.is_damaged

    def find(self, name: str) -> Function | None:
        """Return the function of that name, None if this worker does not have it."""
        return registry.find(ACTIVITY, name)

    def seconds_of(self, function: Function) -> float:
        """Return how long a call may last."""
        return function.timeout.total_seconds() if function.timeout else self._seconds

    def prepare(self, activity: ClaimedActivity, function: Function) -> Result | bool:
        """Return True if its code may run now, False if it is not ours any more, or what it ends with unrun.

        What may run at most once is recorded as begun: durable when this returns.
        """
        if activity.losses >= conf.LOST_ATTEMPTS:
            telemetry.report(telemetry.ACTIVITY_LOST, activity=activity.name, attempts=activity.losses)
            return Result(activity, outcomes.lost(activity, _describe_losses(activity)))
        if not function.at_most_once:
            return True
        may_run = through_locks(lambda: activities.begin_once(activity, self._owner, clock.now()))
        if may_run is False:
            telemetry.report(telemetry.ACTIVITY_LOST, activity=activity.name, attempts=activity.losses)
            text = f"A worker was lost while it ran {activity.name}, which may run at most once."
            return Result(activity, outcomes.lost(activity, f"{text}{_last_loss(activity)}"))
        return bool(may_run)

    def run(self, activity: ClaimedActivity, function: Function) -> Result | None:
        """Run the attempt and return its outcome; None if it is not ours any more, and was not run."""
        ready = self.prepare(activity, function)
        if isinstance(ready, Result):
            return ready
        if not ready:
            return None
        if self._watch is not None:
            self._watch.begin(activity.id, self.seconds_of(function))
        began = clock.monotonic()
        crashpoint("before-activity")
        event = self._call(activity, function)
        crashpoint("after-activity")
        self._pace.note(activity.name, clock.monotonic() - began)
        if self._watch is not None:
            self._watch.finish(activity.id)
            self._watch.end()
        return Result(activity, event)

    def _call(self, activity: ClaimedActivity, function: Function) -> Outcome:
        try:
            context = copy_context()
            context.run(occupied.set, (activity.name, activity.queue))
            value = context.run(function.call, *arguments(activity, function))
            if inspect.iscoroutine(value):  # of a plain function around an `async def`
                value = asyncio.run(value)
        except BaseException as error:
            self._surroundings.end_child()
            self._is_spoilt = self._is_spoilt or spoils(error)
            event: Outcome = outcomes.raised(activity, error)
        else:
            event = outcomes.completed(activity, value, self.limits)
        if leftovers := self._surroundings.restore():
            telemetry.report(
                telemetry.LEFT_BEHIND, level=logging.WARNING, activity=activity.name, what="; ".join(leftovers)
            )
            if not isinstance(event, TaskFailed):
                event = outcomes.left_behind(activity, leftovers)
        return event


def spoils(error: BaseException) -> bool:
    """Tell whether an error says that the process is meant to end, or that nobody knows what state it is in."""
    return not isinstance(error, Exception | asyncio.CancelledError | BaseExceptionGroup | GeneratorExit)


def arguments(activity: ClaimedActivity, function: Function) -> tuple[Any, ...]:
    """Return what the function is called with."""
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


def _describe_losses(activity: ClaimedActivity) -> str:
    last = _last_loss(activity) or " See the workers' logs."
    return f"A worker was lost {activity.losses} times while it ran {activity.name}.{last}"


def _last_loss(activity: ClaimedActivity) -> str:
    with contextlib.suppress(Error):  # the sentence is a help, and must not cost the outcome
        return losses.last_of(losses.key_of_activity(activity.id))
    return ""
