"""DurableClient: start and steer instances from trusted code, under Azure's names; nobody's permission is asked."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrations.authoring.activity_context import occupied
from orchestrations.authoring.registry import ORCHESTRATOR, name_of, registry
from orchestrations.client import arguments, decoding, queries
from orchestrations.client.requests import EventRequest, StartRequest
from orchestrations.client.status import InstanceDetail, OrchestrationStatus
from orchestrations.conf import conf, queue_name
from orchestrations.engine import ids, payloads
from orchestrations.engine.events import (
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from orchestrations.engine.state import Status
from orchestrations.engine.times import Duration
from orchestrations.errors import (
    DeadlockError,
    InstanceNotFoundError,
    InvalidError,
    shown,
)
from orchestrations.store import births, clock, events, hubs, inbox, instances, processes, reuse
from orchestrations.store.inbox import NewMessage

POLL_SECONDS = 0.02
POLL_LIMIT_SECONDS = 0.5


class DurableClient:
    """Acts on one task hub, by default the one that the settings name.

    A call that returns has committed, or takes part in the caller's open transaction; one that raises has changed
    nothing. Payloads are JSON values; `input_json` and the like take JSON text that comes from outside instead.
    """

    def __init__(self, hub: str | None = None) -> None:
        self.hub = arguments.check_hub(hub)

    def start_new(
        self,
        name: str | Callable[..., Any],
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
        *,
        if_exists: str = reuse.REPLACE_TERMINAL,
        tags: Mapping[str, str] | None = None,
        start_at: datetime | timedelta | None = None,
        priority: int = 0,
        input_json: str | None = None,
    ) -> str:
        """Store a new instance, its first message and its wake-up in one commit; return its id (INS-4…7).

        `start_at` is an instant, or a `timedelta` from now. Raises `NotRegisteredError`, `InstanceExistsError` by
        `if_exists`, `InvalidError` for an argument that breaks a rule, `PayloadError` for the input.
        """
        one = StartRequest(name, instance_id, client_input, version, tags, start_at, priority, input_json)
        return self.start_many([one], if_exists=if_exists)[0]

    def start_many(self, requests: Sequence[StartRequest], *, if_exists: str = reuse.REPLACE_TERMINAL) -> list[str]:
        """Store new instances, 10,000 at most, in one commit of a few statements; return their ids in order.

        All of them are stored or none: an error is that of `start_new` for the first one that has one, besides
        `InvalidError` for more of them (`batch.too-large`) or for an id that is given twice (`instance-id.doubled`).
        """
        arguments.check_batch(requests)
        arguments.check_choice(if_exists, _POLICIES)
        now = clock.now()
        wanted = [_read_start(request, now) for request in requests]
        if doubled := [i for i, count in Counter(facts["instance_id"] for facts in wanted).items() if count > 1]:
            text = f"The instance ID '{doubled[0]}' is given twice. Give each its own."
            raise InvalidError(text, code="instance-id.doubled")
        hub, queue = hubs.find(self.hub), queue_name(self.hub)  # last, for it may create the settings' hub
        news = [births.NewInstance(hub_id=hub, queue=queue, **facts) for facts in wanted]
        reuse.create_all(news, if_exists)
        return [facts["instance_id"] for facts in wanted]

    def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        *,
        event_id: str | None = None,
        data_json: str | None = None,
    ) -> bool:
        """Store an external event for the instance, which has not seen it yet when this returns (EVT-1…5).

        With an `event_id` sending it again does nothing, also after the instance has ended: the answer is False then,
        and True for the first time.
        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`), `InvalidError`, `PayloadError`,
        `LimitExceededError` (`inbox.full`).
        """
        return self.raise_events([EventRequest(instance_id, event_name, event_data, event_id, data_json)])[0]

    def raise_events(self, requests: Sequence[EventRequest]) -> list[bool]:
        """Store external events, 10,000 at most, in one commit of a few statements; say of each if it is new.

        Those to one instance arrive in this order. All of them are stored or none: an error is that of `raise_event`
        for one that has one, or `InvalidError` (`batch.too-large`).
        """
        arguments.check_batch(requests)
        return events.accept(self.hub, [_read_event(request) for request in requests]) if requests else []

    def terminate(self, instance_id: str, reason: str = "", *, recursive: bool = True) -> None:
        """Store the order to end the instance, and its live descendants, without running their code (MGT-2).

        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`).
        """
        text = arguments.check_reason(reason)
        self._control(
            instance_id,
            "termination",
            lambda now: ExecutionTerminated(
                timestamp=now, input=payloads.dump(text), recurse=None if recursive else False
            ),
        )

    def suspend(self, instance_id: str, reason: str = "") -> bool:
        """Store the order to let messages and timers wait (MGT-1); False if the instance is suspended already.

        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`).
        """
        text = arguments.check_reason(reason)
        return self._control(
            instance_id,
            "suspension",
            lambda now: ExecutionSuspended(timestamp=now, reason=text),
            unless=lambda status: status is Status.SUSPENDED,
        )

    def resume(self, instance_id: str, reason: str = "") -> bool:
        """Store the order to apply what has waited (MGT-1); False if the instance is not suspended.

        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`).
        """
        text = arguments.check_reason(reason)
        return self._control(
            instance_id,
            "resumption",
            lambda now: ExecutionResumed(timestamp=now, reason=text),
            unless=lambda status: status is not Status.SUSPENDED,
        )

    def get_status(
        self,
        instance_id: str,
        *,
        show_input: bool = False,
        show_history: bool = False,
        show_history_output: bool = False,
    ) -> OrchestrationStatus:
        """Return the status; a falsy one for an unknown id (QRY-1)."""
        found = queries.find_instance(self.hub, arguments.check_id(instance_id))
        if found is None:
            return OrchestrationStatus(instance_id)
        status = _status_of(found, show_input=show_input)
        if show_history:
            rows = queries.list_history(self.hub, instance_id).rows
            hidden = () if show_history_output else ("Result",)
            status.history = [{k: v for k, v in row.members.items() if k not in hidden} for row in rows]
        return status

    def wait_for_completion(self, instance_id: str, timeout: Duration | None = None) -> OrchestrationStatus:
        """Wait until the instance has ended and return its status (MGT-7).

        Raises `InstanceNotFoundError`, `TimeoutError` after `timeout` (seconds or timedelta), and `InvalidError`
        (`transaction.open`) in a transaction, in which the end might never be seen. In an activity that occupies the
        only worker of the instance's queue it raises `DeadlockError`, unless the instance has ended.
        """
        arguments.check_id(instance_id)
        seconds = arguments.seconds_of(timeout)
        arguments.refuse_transaction("wait_for_completion()")
        deadline = None if seconds is None else time.monotonic() + seconds
        pause = POLL_SECONDS
        while True:
            found = queries.read_status(self.hub, instance_id)
            if found is None:
                raise InstanceNotFoundError(instance_id)
            if found.is_terminal:
                return self.get_status(instance_id, show_input=True)
            if pause == POLL_SECONDS:
                self._refuse_deadlock(instance_id)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"Instance '{instance_id}' is still {found} after {seconds:g} s.")
            time.sleep(pause)
            pause = min(pause * 1.2, POLL_LIMIT_SECONDS)

    def _refuse_deadlock(self, instance_id: str) -> None:
        held, queue = occupied.get(), queue_name(self.hub)
        if held is not None and held[1] == queue and processes.count_workers(queue, clock.now()) <= 1:
            raise DeadlockError(held[0], instance_id)

    def _control(
        self,
        instance_id: str,
        refused: str,
        make: Callable[[datetime], HistoryEvent],
        *,
        unless: Callable[[Status], bool] = lambda status: False,
    ) -> bool:
        with transaction.atomic():
            target = instances.lock_live(self.hub, arguments.check_id(instance_id), refused)
            now = clock.now()
            if unless(instances.status_of(target.id)) and not inbox.has_control(target.id):
                inbox.wake_for([], [target], now)  # a claim may have skipped it while it was locked
                return False
            inbox.send([NewMessage(target.id, make(now), f"client/{uuid.uuid4().hex}")], {target.id: target}, now)
        return True


_POLICIES = (reuse.REPLACE_TERMINAL, reuse.ERROR, reuse.RETURN_EXISTING, reuse.REPLACE_ANY)


def _read_start(request: StartRequest, now: datetime) -> dict[str, Any]:
    """Return the facts of a new instance, checked."""
    if not isinstance(request, StartRequest):
        raise InvalidError(f"start_many takes values of StartRequest, not {shown(request)}.", code="start.invalid")
    wanted, version = name_of(ORCHESTRATOR, request.name), arguments.check_version(request.version)
    if not conf.ALLOW_UNREGISTERED_START:
        registry.get(ORCHESTRATOR, wanted, version)
    return {
        "instance_id": ids.check_instance_id(uuid.uuid4().hex if request.instance_id is None else request.instance_id),
        "name": wanted,
        "created_at": now,
        "version": version or conf.DEFAULT_VERSION or None,
        "input": arguments.text_of(request.client_input, request.input_json, "The input"),
        "tags": arguments.check_tags({} if request.tags is None else request.tags),
        "priority": arguments.check_priority(request.priority),
        "start_at": arguments.check_start(request.start_at, now),
    }


def _read_event(request: EventRequest) -> events.NewEvent:
    """Return the event, checked."""
    if not isinstance(request, EventRequest):
        raise InvalidError(f"raise_events takes values of EventRequest, not {shown(request)}.", code="event.invalid")
    ids.check_name(request.event_name, "The name of an event")
    if request.event_id is not None:
        arguments.check_event_id(request.event_id)
    text = arguments.text_of(request.event_data, request.data_json, "The event's data")
    return events.NewEvent(arguments.check_id(request.instance_id), request.event_name, text, request.event_id)


def _status_of(found: InstanceDetail, *, show_input: bool) -> OrchestrationStatus:
    return OrchestrationStatus(
        instance_id=found.instance_id,
        name=found.name,
        version=found.version,
        runtime_status=found.status,
        created_time=found.created_at,
        last_updated_time=found.updated_at,
        completed_time=found.completed_at,
        input_=decoding.value(found.input_json) if show_input else None,
        output=decoding.value(found.output_json),
        custom_status=decoding.value(found.custom_status_json),
        failure=found.failure,
        parent_instance_id=found.parent_instance_id,
        tags=found.tags,
        blocked=found.blocked,
    )
