"""One-time sign-in links, and a brake on guessing passwords. They count in the database, so they hold without Redis."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from orchestrations.control import audit
from orchestrations.control.actors import Actor
from orchestrations.errors import InvalidError
from orchestrations.store import clock
from orchestrations.store.models import AuditEntry, SignInLink

LINK_SECONDS = 15 * 60
FAILURES, FAILURE_WINDOW = 5, timedelta(minutes=15)
ACTION = "sign-in"


def make_link(user: AbstractBaseUser, *, seconds: float = LINK_SECONDS) -> str:
    """Store a link that signs `user` in once, and return its token; only the token's hash is kept."""
    token = secrets.token_urlsafe(32)
    expires_at = clock.now() + timedelta(seconds=seconds)
    SignInLink.objects.create(token_hash=_hash(token), user_id=user.pk, expires_at=expires_at)
    return token


@transaction.atomic
def make_only_link(username: str, *, seconds: float = LINK_SECONDS) -> str:
    """Return the token of a new link that signs this account in; earlier links of that account end here.

    Raises `InvalidError` (`account.unknown`) if no active account has that name.
    """
    user = get_user_model().objects.filter(**{get_user_model().USERNAME_FIELD: username}, is_active=True).first()
    if user is None:
        raise InvalidError(f"There is no active account '{username}'.", code="account.unknown")
    SignInLink.objects.filter(user_id=user.pk).delete()
    return make_link(user, seconds=seconds)


def find_link_user(token: str) -> Any:
    """Return the user whom a link would sign in, or None if it is unknown, used or expired. Changes nothing."""
    link = SignInLink.objects.select_related("user").filter(token_hash=_hash(token), used_at=None).first()
    if link is None or link.expires_at <= clock.now() or not link.user.is_active:
        return None
    return link.user


@transaction.atomic
def use_link(token: str, hub: str) -> Any:
    """Use a link up and return its user, or None. Of several who try at once one succeeds."""
    user = find_link_user(token)
    if user is None:
        return None
    if not SignInLink.objects.filter(token_hash=_hash(token), used_at=None).update(used_at=clock.now()):
        return None  # somebody else was between the two statements
    audit.record(hub, Actor(user.get_username(), user.pk, frozenset()), ACTION, detail={"via": "link"})
    return user


def is_braked(hub: str, username: str, address: str) -> bool:
    """Tell whether this name failed too often from this address to be tried again now (SEC-16: 5 in 15 minutes)."""
    since = clock.now() - FAILURE_WINDOW
    rows = AuditEntry.objects.filter(hub__name=hub, instance_id="", action=ACTION, result=audit.DENIED)
    details = rows.filter(actor=username[:256], at__gte=since).values_list("detail", flat=True)
    failures: int = sum(json.loads(detail).get("address") == address for detail in details)
    return failures >= FAILURES


def record_failure(hub: str, username: str, address: str) -> None:
    """Remember a wrong password."""
    audit.record(hub, Actor(username, None, frozenset()), ACTION, detail={"address": address}, result=audit.DENIED)


def record_success(hub: str, user: AbstractBaseUser, address: str) -> None:
    """Remember who came, and from where."""
    audit.record(hub, Actor(user.get_username(), user.pk, frozenset()), ACTION, detail={"address": address})


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
