"""What is kept for a while only."""

from __future__ import annotations

from datetime import timedelta

from orchestrations.client.client import DurableClient
from orchestrations.conf import conf
from orchestrations.store import clock, retention
from orchestrations.store.models import EventReceipt
from tests.bursts import drain


def test_a_receipt_makes_repeats_harmless_until_it_expires_and_is_forgotten_then() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a", "a"])
    drain()
    assert client.raise_event(instance_id, "a", 1, event_id="x")
    now = clock.now()
    assert retention.forget_expired(now + timedelta(seconds=conf.RECEIPT_SECONDS - 60)) == 0
    assert not client.raise_event(instance_id, "a", 1, event_id="x")
    assert retention.forget_expired(now + timedelta(seconds=conf.RECEIPT_SECONDS + 60)) == 1
    assert not EventReceipt.objects.exists()
    assert client.raise_event(instance_id, "a", 1, event_id="x")
