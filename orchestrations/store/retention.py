"""What is kept for a while only: removed once it has expired, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrations.store.models import EventReceipt, SignInLink

ROWS = 5000
LINKS_KEPT = timedelta(days=1)


def forget_expired(now: datetime) -> int:
    """Remove receipts of events whose time is over, and links to sign in that are long of no use.

    At most 5,000 of each; returns how many were removed. Durable when it returns.
    """
    receipts = EventReceipt.objects.filter(expires_at__lt=now).order_by("expires_at")
    links = SignInLink.objects.filter(expires_at__lt=now - LINKS_KEPT).order_by("pk")
    count = 0
    for rows in (receipts, links):
        keys = list(rows.values_list("pk", flat=True)[:ROWS])
        count += rows.model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0
    return count
