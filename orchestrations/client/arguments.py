"""Checks of what callers give: each says what is wrong and the rule, and has a code of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from orchestrations.conf import conf
from orchestrations.engine import ids, payloads, times
from orchestrations.engine.failures import cut
from orchestrations.errors import InvalidError, shown
from orchestrations.store import codec

REASON_LIMIT = 4096
TAG_COUNT, TAG_NAME, TAG_VALUE = 20, 64, 256
TAG_PREFIX, TITLE = "durabletask.", "durabletask.displayName"
EVENT_ID, BATCH = 100, 10_000


def check_hub(hub: Any) -> str:
    """Return the name of a task hub, the settings' one for None; whether it exists is not looked at."""
    if hub is not None and not isinstance(hub, str):
        text = f"The name of a task hub must be 3 to 45 letters and digits, not {type(hub).__name__}."
        raise InvalidError(text, code="name.invalid")
    return hub or str(conf.HUB)


def check_id(instance_id: Any) -> str:
    """Return the id of an instance to look up: any text may be asked for, and is unknown where it breaks the rule."""
    return instance_id if isinstance(instance_id, str) else ids.check_instance_id(instance_id)


def check_version(version: Any) -> str | None:
    """Return the version, None for an empty one."""
    return None if version is None or version == "" else ids.check_name(version, "The version of an orchestrator")


def check_choice(value: Any, choices: tuple[str, ...]) -> str:
    """Return the reuse policy."""
    if not isinstance(value, str) or value not in choices:
        text = f"if_exists must be one of {', '.join(choices)}, not {shown(value)}."
        raise InvalidError(text, code="if-exists.invalid")
    return value


def check_batch(requests: Sized) -> None:
    """Refuse more requests than one commit should hold: others wait as long as it takes."""
    if len(requests) > BATCH:
        text = f"The number of requests is {len(requests)}, the limit is {BATCH}. Send them in several calls."
        raise InvalidError(text, code="batch.too-large")


def check_priority(priority: Any) -> int:
    """Return the priority, a whole number from −9 to 9."""
    if not isinstance(priority, int) or isinstance(priority, bool) or not -9 <= priority <= 9:
        other = "another one" if type(priority) is int else shown(priority)
        raise InvalidError(f"The priority must be a whole number from -9 to 9, not {other}.", code="priority.invalid")
    return priority


def check_tags(tags: Any) -> dict[str, str]:
    """Return the tags as a dictionary (INS-6)."""
    rule = f"At most {TAG_COUNT} tags; names of 1 to {TAG_NAME} and values of at most {TAG_VALUE} characters."
    if not isinstance(tags, Mapping):
        raise InvalidError(f"Tags must be a mapping of texts, not {type(tags).__name__}. {rule}", code="tags.invalid")
    if len(tags) > TAG_COUNT:
        raise InvalidError(f"There are {len(tags)} tags. {rule}", code="tags.invalid")
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidError(f"Tag {shown(name)} is not a text. {rule}", code="tags.invalid")
        if not 1 <= len(name) <= TAG_NAME or len(value) > TAG_VALUE or not codec.is_storable(name + value):
            raise InvalidError(f"Tag {name[:TAG_NAME]!r} breaks the rule: {rule}", code="tags.invalid")
        if name.casefold().startswith(TAG_PREFIX) and name != TITLE:
            text = f"Tag '{name}': the prefix '{TAG_PREFIX}' is reserved, but for '{TITLE}'."
            raise InvalidError(text, code="tags.invalid")
    return dict(tags)


def check_event_id(event_id: Any) -> str:
    """Return the id under which an event is accepted once (EVT-5)."""
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= EVENT_ID or not codec.is_storable(event_id):
        text = f"The id of an event must be a text of 1 to {EVENT_ID} characters without NUL."
        raise InvalidError(text, code="event-id.invalid")
    return event_id


def check_reason(reason: Any) -> str:
    """Return the reason, cut to its limit."""
    if not isinstance(reason, str):
        text = f"The reason must be a text, not {type(reason).__name__}. It is cut at {REASON_LIMIT} characters."
        raise InvalidError(text, code="reason.invalid")
    return cut(reason, REASON_LIMIT)


def check_start(start_at: Any, now: datetime) -> datetime | None:
    """Return the instant of a start in UTC: a number could be an instant as well as a duration, so it is refused."""
    if isinstance(start_at, timedelta):
        return times.instant(start_at, now, "start_at")
    return None if start_at is None else times.utc(start_at, "start_at")


def seconds_of(timeout: Any) -> float | None:
    """Return how long to wait, in seconds; None for no limit."""
    return None if timeout is None else times.duration(timeout, "The timeout").total_seconds()


def text_of(value: Any, text: Any, what: str) -> str | None:
    """Return the JSON text of a payload that is given as a value, or as text from outside."""
    limits = payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH)
    if text is None:
        return None if value is None else payloads.dump(value, what, limits)
    if not isinstance(text, str):
        raise InvalidError(f"{what} as JSON must be a text, not {type(text).__name__}.", code="json.type")
    if value is not None:
        raise InvalidError(f"{what} is given twice, as a value and as JSON text. Give one.", code="json.type")
    return payloads.parse(text, what, limits)


def refuse_transaction(what: str) -> None:
    """Raise `InvalidError` (`transaction.open`) within an open transaction; that of a test case is no hindrance."""
    if any(not getattr(block, "_from_testcase", False) for block in getattr(connection, "atomic_blocks", ())):
        text = (
            f"{what} must not be called in a transaction: no worker sees what was started in it before it commits, "
            "and what it has locked waits with it. Call it after the atomic block."
        )
        raise InvalidError(text, code="transaction.open")
