"""DurableClient: start and steer instances from trusted code, under Azure's names; nobody's permission is asked."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from orchestrations.authoring.registry import ORCHESTRATOR, registry
from orchestrations.client import decoding, queries
from orchestrations.client.status import InstanceDetail, OrchestrationStatus
from orchestrations.conf import conf, queue_name
from orchestrations.engine import ids, payloads
from orchestrations.engine.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    HistoryEvent,
)
from orchestrations.engine.failures import cut
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceNotFoundError, InvalidError, LimitExceededError
from orchestrations.store import clock, codec, hubs, inbox, instances, reuse
from orchestrations.store.inbox import NewMessage

REASON_LIMIT = 4096
TAG_COUNT, TAG_NAME, TAG_VALUE = 20, 64, 256
EVENT_ID = 100
POLL_SECONDS = 0.02
POLL_LIMIT_SECONDS = 0.5


class DurableClient:
    """Acts on one task hub, by default the one that the settings name.

    A call that returns has committed, or takes part in the caller's open transaction; one that raises has changed
    nothing. Payloads are JSON values; `input_json` and the like take JSON text that comes from outside instead.
    """

    def __init__(self, hub: str | None = None) -> None:
        self.hub = hub or conf.HUB

    def start_new(
        self,
        name: str | Callable[..., Any],
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
        *,
        if_exists: str = reuse.REPLACE_TERMINAL,
        tags: Mapping[str, str] | None = None,
        start_at: datetime | None = None,
        priority: int = 0,
        input_json: str | None = None,
    ) -> str:
        """Store a new instance, its first message and its wake-up in one commit; return its id (INS-4…7).

        Raises `NotRegisteredError`, `InstanceExistsError` by `if_exists`, `InvalidError` for an id, a name or tags
        that break a rule, `PayloadError` for the input.
        """
        wanted = registry.name_of(ORCHESTRATOR, name)
        ids.check_name(wanted, "The name of an orchestrator")
        if not conf.ALLOW_UNREGISTERED_START:
            registry.get(ORCHESTRATOR, wanted, version)
        _check_start(if_exists, version, priority)
        new = instances.NewInstance(
            instance_id=ids.check_instance_id(uuid.uuid4().hex if instance_id is None else instance_id),
            name=wanted,
            queue=queue_name(self.hub),
            created_at=clock.now(),
            version=version or conf.DEFAULT_VERSION or None,
            input=_text(client_input, input_json, "The input"),
            tags=_check_tags(tags or {}),
            priority=priority,
            start_at=_aware(start_at),
            hub_id=hubs.find(self.hub),  # last, for it may create the settings' hub
        )
        with transaction.atomic():
            return reuse.create(new, if_exists)

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

        With an `event_id` sending it again does nothing: the answer is False then, and True for the first time.
        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`), `InvalidError`, `PayloadError`,
        `LimitExceededError` (`inbox.full`).
        """
        ids.check_name(event_name, "The name of an event")
        if event_id is not None:
            _check_event_id(event_id)
        text = _text(event_data, data_json, "The event's data")
        with transaction.atomic():
            target = instances.lock_live(self.hub, instance_id, "event")
            now = clock.now()
            until = now + timedelta(seconds=conf.RECEIPT_SECONDS)
            if event_id is not None and not instances.accept_event(target.id, event_id, event_name, now, until):
                return False
            self._check_inbox(target.id)
            event = EventRaised(timestamp=now, name=event_name, input=text)
            inbox.send([NewMessage(target.id, event, f"client/{uuid.uuid4().hex}")], {target.id: target}, now)
        return True

    def terminate(self, instance_id: str, reason: str = "", *, recursive: bool = True) -> None:
        """Store the order to end the instance, and its live descendants, without running their code (MGT-2).

        Raises `InstanceNotFoundError`, `WrongStatusError` (`instance.terminal`).
        """
        text = cut(reason, REASON_LIMIT)
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
        text = cut(reason, REASON_LIMIT)
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
        text = cut(reason, REASON_LIMIT)
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
        found = queries.find_instance(self.hub, instance_id)
        if found is None:
            return OrchestrationStatus(instance_id)
        status = _status_of(found, show_input=show_input)
        if show_history:
            rows = queries.list_history(self.hub, instance_id).rows
            hidden = () if show_history_output else ("Result",)
            status.history = [{k: v for k, v in row.members.items() if k not in hidden} for row in rows]
        return status

    def wait_for_completion(self, instance_id: str, timeout: float | None = None) -> OrchestrationStatus:
        """Wait until the instance has ended and return its status (MGT-7). Must not be called in a transaction.

        Raises `InstanceNotFoundError`, and `TimeoutError` after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = POLL_SECONDS
        while True:
            found = queries.read_status(self.hub, instance_id)
            if found is None:
                raise InstanceNotFoundError(instance_id)
            if found.is_terminal:
                return self.get_status(instance_id, show_input=True)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"Instance '{instance_id}' is still {found} after {timeout:g} s.")
            time.sleep(pause)
            pause = min(pause * 1.2, POLL_LIMIT_SECONDS)

    def _control(
        self,
        instance_id: str,
        refused: str,
        make: Callable[[datetime], HistoryEvent],
        *,
        unless: Callable[[Status], bool] = lambda status: False,
    ) -> bool:
        with transaction.atomic():
            target = instances.lock_live(self.hub, instance_id, refused)
            if unless(instances.status_of(target.id)) and not inbox.has_control(target.id):
                return False
            now = clock.now()
            inbox.send([NewMessage(target.id, make(now), f"client/{uuid.uuid4().hex}")], {target.id: target}, now)
        return True

    def _check_inbox(self, instance: int) -> None:
        limit = conf.INBOX_MESSAGES
        if inbox.is_full(instance, limit):
            text = f"The number of waiting messages is {limit}, the limit is {limit}. Wait until they are consumed."
            raise LimitExceededError(text, code="inbox.full", size=limit, limit=limit)


_POLICIES = (reuse.REPLACE_TERMINAL, reuse.ERROR, reuse.RETURN_EXISTING, reuse.REPLACE_ANY)


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


def _check_start(if_exists: str, version: str | None, priority: int) -> None:
    if if_exists not in _POLICIES:
        message = f"if_exists must be one of {', '.join(_POLICIES)}, not '{if_exists}'."
        raise InvalidError(message, code="if-exists.invalid")
    if version:
        ids.check_name(version, "The version of an orchestrator")
    if not -9 <= priority <= 9:
        raise InvalidError(f"The priority must be from -9 to 9, not {priority}.", code="priority.invalid")


def _text(value: Any, text: str | None, what: str) -> str | None:
    limits = payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH)
    if text is not None:
        return payloads.parse(text, what, limits)
    return None if value is None else payloads.dump(value, what, limits)


def _check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    rule = f"At most {TAG_COUNT} tags; names of 1 to {TAG_NAME} and values of at most {TAG_VALUE} characters."
    if len(tags) > TAG_COUNT:
        raise InvalidError(f"There are {len(tags)} tags. {rule}", code="tags.invalid")
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidError(f"Tag {name!r} is not a text. {rule}", code="tags.invalid")
        if not 1 <= len(name) <= TAG_NAME or len(value) > TAG_VALUE or not codec.is_storable(name + value):
            raise InvalidError(f"Tag {name[:TAG_NAME]!r} breaks the rule: {rule}", code="tags.invalid")
        if name.startswith("durabletask.") and name != "durabletask.displayName":
            raise InvalidError(f"Tag '{name}': the prefix 'durabletask.' is reserved.", code="tags.invalid")
    return dict(tags)


def _check_event_id(event_id: str) -> None:
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= EVENT_ID or not codec.is_storable(event_id):
        text = f"The id of an event must be a text of 1 to {EVENT_ID} characters without NUL."
        raise InvalidError(text, code="event-id.invalid")


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
