"""One-time links and the brake on guessing."""

from __future__ import annotations

from orchestrations.control import sign_in
from orchestrations.store.models import AuditEntry, SignInLink
from tests.people import HUB, make_user


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


def test_brake_counts_by_name_and_address() -> None:
    for _ in range(sign_in.FAILURES):
        assert not sign_in.is_braked(HUB, "ana", "192.0.2.1")
        sign_in.record_failure(HUB, "ana", "192.0.2.1")
    assert sign_in.is_braked(HUB, "ana", "192.0.2.1")
    assert not sign_in.is_braked(HUB, "ana", "192.0.2.2")
    assert not sign_in.is_braked(HUB, "ben", "192.0.2.1")
