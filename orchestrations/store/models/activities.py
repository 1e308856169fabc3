"""Attempts of activities that are not settled."""

from __future__ import annotations

from itertools import count
from secrets import randbits

from django.db import models

from orchestrations.store.models.instances import Instance

_ids = count(1 + randbits(62))


def new_id() -> int:
    """Return an id that no attempt has had: a number of its own for each process to begin at, and one after the other.

    Ids are drawn here and not by the database, since most attempts never become rows.
    """
    return next(_ids)


class ActivityTask(models.Model):
    """An attempt of an activity that is not settled, and that no lease of an instance owes. `lease_epoch` counts
    deliveries; settling removes the row.

    `blocked`: no living worker of its queue has the function; it is not claimed until one comes (TSK-8).
    """

    id = models.BigIntegerField(primary_key=True, default=new_id)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="activities", db_constraint=False)
    execution = models.CharField(max_length=32)
    sequence = models.IntegerField()
    attempt = models.IntegerField(default=1)
    name = models.CharField(max_length=256)
    input = models.TextField(null=True)  # noqa: DJ001 - absent differs from any JSON text
    size = models.IntegerField(default=0)  # of the input, in characters
    queue = models.CharField(max_length=100)
    priority = models.SmallIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    lease_owner = models.CharField(max_length=32, default="", blank=True)
    lease_until = models.DateTimeField(null=True)
    lease_epoch = models.IntegerField(default=0)
    losses = models.SmallIntegerField(default=0)
    blocked = models.CharField(max_length=32, default="", blank=True)
    begun_at = models.DateTimeField(null=True)  # of what may run at most once: the instant before its code ran

    class Meta:
        indexes = [
            # claims, the sweeper and its plan: what is due in a queue and nobody's
            models.Index(
                fields=["queue", "due_at", "id"],
                condition=models.Q(lease_until__isnull=True, blocked=""),
                name="activity_due",
            ),
            # claims and the sweeper: leases that have run out
            models.Index(
                fields=["queue", "lease_until"], condition=models.Q(lease_until__isnull=False), name="activity_lapsed"
            ),
            # the supervisor renews and hands back what its workers hold
            models.Index(fields=["lease_owner"], condition=models.Q(lease_until__isnull=False), name="activity_leased"),
            # the page of what is stuck; the retry of what other code had left
            models.Index(fields=["blocked"], condition=models.Q(blocked__gt=""), name="activity_blocked"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.sequence}"
