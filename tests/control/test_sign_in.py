"""One-time links and the brake on guessing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from orchestrations.control import rate_limits, sign_in
from orchestrations.store import clock
from orchestrations.store.models import AuditEntry, RateLimit, SignInLink
from tests.people import HUB, make_user
from tests.store.concurrency import at_once

HERE = "192.0.2.1"


class _Clock:
    """A clock that shows what it is told; the tests' own work takes no time."""

    def __init__(self) -> None:
        self.begin = clock.now()
        self.seconds = 0.0

    def now(self) -> object:
        return self.begin + timedelta(seconds=self.seconds)


@pytest.fixture
def clock_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the clock to so many seconds after the test's begin."""
    shown = _Clock()
    monkeypatch.setattr(rate_limits, "clock", shown)
    return lambda seconds: setattr(shown, "seconds", seconds)


def test_link_signs_in_once() -> None:
    token = sign_in.make_link(make_user("operator"))
    assert SignInLink.objects.get().token_hash != token
    assert sign_in.find_link_user(token) == sign_in.find_link_user(token) == make_user("operator")
    assert sign_in.use_link(token, HUB) == make_user("operator")
    assert sign_in.use_link(token, HUB) is None
    assert sign_in.find_link_user(token) is None
    assert AuditEntry.objects.get().action == "sign-in"


def test_link_ends_with_time_and_with_its_user() -> None:
    user = make_user("operator")
    late, early = sign_in.make_link(user, seconds=-1), sign_in.make_link(user)
    assert sign_in.use_link(late, HUB) is None
    user.is_active = False
    user.save()
    assert sign_in.use_link(early, HUB) is None
    assert sign_in.use_link("unknown", HUB) is None


def test_five_tries_are_free_and_come_back_one_by_one(clock_at: Callable[[float], None]) -> None:
    assert [sign_in.admit("ana", HERE) for _ in range(5)] == [0] * 5
    assert 179 < sign_in.admit("ana", HERE) <= 180
    assert sign_in.admit("ben", HERE) == 0
    clock_at(181)
    assert sign_in.admit("ana", HERE) == 0
    assert sign_in.admit("ana", HERE) > 170
    clock_at(181 + 900)
    assert [sign_in.admit("ana", HERE) for _ in range(5)] == [0] * 5


def test_parallel_tries_are_counted_like_successive_ones() -> None:
    found = at_once([lambda: sign_in.admit("ana", HERE)] * 12)
    assert sorted(wait == 0 for wait in found) == [False] * 7 + [True] * 5


def test_an_address_is_slowed_down_whatever_names_it_tries() -> None:
    waits = [sign_in.admit(f"name {n}", HERE) for n in range(25)]
    assert waits[:20] == [0] * 20
    assert all(0 < wait <= 5 for wait in waits[20:])
    assert sign_in.admit("ana", "198.51.100.7") == 0
    spread = [sign_in.admit(f"name {n}", f"2001:db8::{n:x}") for n in range(25)]
    assert all(wait > 0 for wait in spread[20:]), "the addresses of one IPv6 customer are one"
    assert sign_in.admit("ana", "2001:db8:0:1::1") == 0


def test_nobody_can_lock_out_a_name() -> None:
    """Its owner comes from elsewhere, by a link, or from the very same address in a browser that knows him."""
    admin = make_user("admin")
    browser = sign_in.remember_browser("admin")
    for n in range(40):
        sign_in.admit("admin", HERE)
        sign_in.admit("admin", HERE, sign_in.remember_browser(f"attacker {n}"))
        sign_in.admit("admin", HERE, "forged")
    assert sign_in.admit("admin", HERE) > 0
    assert sign_in.admit("admin", "198.51.100.7") == 0
    assert sign_in.admit("admin", HERE, browser) == 0
    assert sign_in.use_link(sign_in.make_link(admin), HUB) == admin


def test_a_known_browser_has_a_limit_too() -> None:
    browser = sign_in.remember_browser("admin")
    assert [sign_in.admit("admin", HERE, browser) == 0 for _ in range(6)] == [True] * 5 + [False]


def test_success_forgets_the_tries_before_it() -> None:
    for _ in range(5):
        sign_in.admit("operator", HERE)
    sign_in.record_success(HUB, make_user("operator"), HERE)
    assert sign_in.admit("operator", HERE) == 0


def test_rows_go_when_they_mean_nothing_any_more(clock_at: Callable[[float], None]) -> None:
    for n in range(30):
        sign_in.admit(f"name {n}", f"192.0.2.{n}")
    assert RateLimit.objects.count() == 60
    clock_at(200)
    sign_in.admit("ana", HERE)
    assert RateLimit.objects.count() == 2


def test_strangers_cannot_fill_the_audit() -> None:
    for n in range(120):
        sign_in.record_failure(HUB, f"name\x00{n}", HERE)
    assert AuditEntry.objects.count() == 100
