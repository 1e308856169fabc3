"""Ids and names: the rules for those that people give, and those derived from instance and counter."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from orchestrations.errors import InvalidError

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")
ID_LIMIT = 256

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORBIDDEN_IN_ID = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\#?]")


def check_instance_id(instance_id: Any) -> str:
    """Return the id, or raise `InvalidError` (`instance-id.invalid`) that names character and rule (INS-1)."""
    rule = (
        "An instance ID has 1 to 256 characters, is not '.' or '..', does not start with '@' "
        "and holds none of / \\ # ? and no control character."
    )
    if not isinstance(instance_id, str) or not instance_id or len(instance_id) > ID_LIMIT:
        size = len(instance_id) if isinstance(instance_id, str) else type(instance_id).__name__
        raise InvalidError(f"This instance ID is not valid (length {size}). {rule}", code="instance-id.invalid")
    if instance_id in (".", ".."):
        text = f"This instance ID is not valid: '{instance_id}' cannot stand in a URL. {rule}"
        raise InvalidError(text, code="instance-id.invalid")
    if instance_id.startswith("@"):
        raise InvalidError(
            f"'{instance_id}' starts with '@', which is kept for entities. {rule}", code="instance-id.invalid"
        )
    if bad := _FORBIDDEN_IN_ID.search(instance_id):
        where = f"character {bad.start() + 1} is {bad.group()!r}"
        raise InvalidError(f"This instance ID is not valid: {where}. {rule}", code="instance-id.invalid")
    return instance_id


def check_name(name: Any, what: str) -> str:
    """Return the name, or raise `InvalidError` (`name.invalid`): 1–256 characters, no control characters."""
    if not isinstance(name, str) or not name or len(name) > ID_LIMIT:
        raise InvalidError(f"{what} must be a text of 1 to {ID_LIMIT} characters.", code="name.invalid")
    if bad := _CONTROL.search(name):
        where = f"character {bad.start() + 1} is {bad.group()!r}"
        raise InvalidError(f"{what} must not hold control characters: {where}.", code="name.invalid")
    return name


def new_uuid(instance_id: str, now: datetime, counter: int) -> str:
    """Return the UUID that an orchestrator sees for this call, the same on every replay (TIM-3)."""
    return str(uuid.uuid5(NAMESPACE, f"{instance_id}_{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}_{counter}"))


def child_id(parent_id: str, execution_id: str, sequence: int, attempt: int) -> str:
    """Return the default id of a sub-orchestration (SUB-1): executions of one parent never share children."""
    text = f"{parent_id}:{execution_id[:8]}:{sequence:04x}" + (f".{attempt}" if attempt > 1 else "")
    return text if len(text) <= ID_LIMIT else uuid.uuid5(NAMESPACE, text).hex
