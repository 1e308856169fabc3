"""Task hubs: their names and keys, asked for once in a process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from django.db import connection, transaction

from orchestrations.conf import conf
from orchestrations.errors import HubNotFoundError, InvalidError
from orchestrations.store import codec
from orchestrations.store.models import TaskHub

_NAME = re.compile(r"[A-Za-z0-9]{3,45}")
_keys: dict[str, int] = {}
_names: dict[int, str] = {}


def find(name: str) -> int:
    """Return the key of a hub. The hub of the settings is created when it is first asked for.

    Raises `InvalidError` (`name.invalid`) for a name that no hub can have, `HubNotFoundError` for a hub that nobody has
    made: what is put there would never run.
    """
    found = _keys.get(name)
    if found is None:
        if name == conf.HUB:
            return ensure(name)
        check_name(name)
        found = find_key(name)
        if found is None:
            raise HubNotFoundError(name)
    return found


def find_key(name: str) -> int | None:
    """Return the key of a hub, None if there is none. Changes nothing."""
    found = _keys.get(name)
    if found is None and codec.is_storable(name):
        found = TaskHub.objects.filter(name=name).values_list("pk", flat=True).first()
        if found is not None and not connection.in_atomic_block:  # what is seen within may be rolled back
            _remember(name, found)
    return found


def ensure(name: str) -> int:
    """Return the key of a hub, creating it if it is new: for those who serve it."""
    check_name(name)
    found = _keys.get(name)
    if found is None:
        found = TaskHub.objects.get_or_create(name=name)[0].pk
        transaction.on_commit(partial(_remember, name, found))  # its creation may be rolled back
    return found


def name_of(key: int) -> str:
    """Return the name of a hub; it never changes, so it is remembered once it is committed."""
    name = _names.get(key)
    if name is None:
        name = TaskHub.objects.values_list("name", flat=True).get(pk=key)
        transaction.on_commit(partial(_remember, name, key))  # its creation may be rolled back
    return name


def names_of(keys: Iterable[int]) -> dict[int, str]:
    """Return the names of the hubs, each asked for once at most."""
    return {key: name_of(key) for key in set(keys)}


def check_name(name: str) -> None:
    """Raise `InvalidError` (`name.invalid`) for a name that no hub can have."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidError("The name of a task hub must be 3 to 45 letters and digits.", code="name.invalid")


def forget() -> None:
    """Drop what this process remembers: for tests, whose databases come and go."""
    _keys.clear()
    _names.clear()


def _remember(name: str, key: int) -> None:
    _keys[name], _names[key] = key, name
