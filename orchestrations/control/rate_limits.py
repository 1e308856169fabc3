"""How often something may be tried: so often at once, then once in a while. Counted in the database, without Redis.

A limit is one row with one instant (the generic cell rate algorithm): a try moves it on by the time that a try costs,
and is refused while it lies too far ahead. The try is counted by the statement that admits it, so of any number of
parallel ones no more are admitted than of successive ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, Value
from django.db.models.functions import Greatest

from orchestrations.store import clock
from orchestrations.store.models import RateLimit


@dataclass(frozen=True, slots=True)
class Rate:
    """`at_once` tries are free; each that was used comes back after `seconds`."""

    at_once: int
    seconds: float


def take(rate: Rate, *key: str) -> float:
    """Count a try of what `key` names and return 0, or return after how many seconds one is free again.

    Durable on return. A refused try is not counted. Outside of a transaction it commits at once.
    """
    now, cost = clock.now(), timedelta(seconds=rate.seconds)
    latest = now + cost * (rate.at_once - 1)
    rows = RateLimit.objects.filter(key=_digest(key))
    while not rows.filter(free_at__lte=latest).update(free_at=Greatest(F("free_at"), Value(now)) + Value(cost)):
        row, is_new = RateLimit.objects.get_or_create(key=_digest(key), defaults={"free_at": now + cost})
        if is_new:
            RateLimit.objects.filter(free_at__lt=now).delete()
            break
        if row.free_at > latest:
            return (row.free_at - latest).total_seconds()
        # another first try was between the two statements: it has made the row
    return 0.0


def give_back(*key: str) -> None:
    """Forget what was tried: it ended well."""
    RateLimit.objects.filter(key=_digest(key)).delete()


def _digest(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
