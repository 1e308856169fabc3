"""Continuation tokens: signed, opaque, and good for one filter only (QRY-3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core import signing

from orchestrations.client.queries.filters import InstanceFilter
from orchestrations.errors import InvalidError

SALT = "orchestrations.cursor"


def make_token(hub: str, created_at: datetime, pk: int, where: InstanceFilter) -> str:
    """Return the token that continues after the row with that instant and key."""
    return signing.dumps([created_at.isoformat(), pk, hub, where.digest()], salt=SALT, compress=True)


def read_token(token: str, hub: str, where: InstanceFilter) -> tuple[datetime, int]:
    """Return instant and key of a token. Raises `InvalidError` (`cursor.invalid`) unless it is of this very list."""
    try:
        content: Any = signing.loads(token, salt=SALT)
        created_at, pk, *of = content
        if of != [hub, where.digest()]:
            raise ValueError("of another list")
        return datetime.fromisoformat(created_at), int(pk)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise InvalidError(
            f"The continuation token is not valid ({error}). Start again without it.", code="cursor.invalid"
        ) from None
