"""One-time sign-in links, and a brake on guessing passwords. They count in the database, so they hold without Redis.

A library was weighed (django-axes): it counts after the check, so parallel guesses pass; it keeps a row for whatever
strangers type; and what it locks is locked for its owner as well.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.db import transaction

from orchestrations.control import audit, rate_limits
from orchestrations.control.actors import Actor
from orchestrations.control.rate_limits import Rate
from orchestrations.errors import InvalidError
from orchestrations.store import clock
from orchestrations.store.models import SignInLink

LINK_SECONDS = 15 * 60
ACTION = "sign-in"
BROWSER_SALT = "orchestrations.browser"
BROWSER_AGE = timedelta(days=365)

OF_NAME = Rate(at_once=5, seconds=180)
OF_ADDRESS = Rate(at_once=20, seconds=5)
OF_STRANGERS = Rate(at_once=100, seconds=10)


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


def admit(name: str, address: str, browser: str = "") -> float:
    """Count a try of a password before it is checked; return 0, or the seconds after which another one is admitted.

    `name` is the name as the user table would be asked for it. Five wrong ones of a name from an address are free,
    and later ones at the same pace (SEC-16: 5 in 15 minutes); an address has a limit of its own for all names. Nobody
    can lock a name: other addresses, one-time links, and a `browser` in which the name has signed in before (a token
    of `remember_browser`) are counted apart.
    """
    if _is_known(browser, name):
        return rate_limits.take(OF_NAME, "browser", browser)
    network = _network(address)
    return rate_limits.take(OF_ADDRESS, "address", network) or rate_limits.take(OF_NAME, "name", name, network)


def remember_browser(name: str) -> str:
    """Return a token for a browser in which `name` has just signed in; it is worth nothing but a count of its own."""
    return signing.dumps([name, secrets.token_urlsafe(12)], salt=BROWSER_SALT)


def record_failure(hub: str, name: str, address: str) -> None:
    """Remember a wrong password, unless strangers have filled the audit with too many already."""
    if rate_limits.take(OF_STRANGERS, "audit of wrong passwords") == 0:
        audit.record(hub, Actor(name, None, frozenset()), ACTION, detail={"address": address}, result=audit.DENIED)


def record_success(hub: str, user: AbstractBaseUser, address: str) -> None:
    """Remember who came, and from where; what he tried before counts no more."""
    name = user.get_username()
    rate_limits.give_back("name", name, _network(address))
    audit.record(hub, Actor(name, user.pk, frozenset()), ACTION, detail={"address": address})


def record_end(hub: str, actor: Actor) -> None:
    """Remember who has signed out."""
    audit.record(hub, actor, "sign-out")


def _is_known(browser: str, name: str) -> bool:
    try:
        known: list[str] = signing.loads(browser, salt=BROWSER_SALT, max_age=BROWSER_AGE)
    except signing.BadSignature:
        return False
    return known[0] == name


def _network(address: str) -> str:
    """Return whose tries are counted together: an IPv6 customer has 2^64 addresses."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
