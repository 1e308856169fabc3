"""What is on its way to an instance, and what was accepted."""

from __future__ import annotations

from django.db import models

from orchestrations.store.models.instances import Instance


class InboxMessage(models.Model):
    """Something on its way to an instance.

    Messages are taken in the order of their ids, which are drawn under the instance's lock. One with `not_before`
    counts from that instant on: timers, which are messages to oneself, a scheduled start; and what must never wait
    behind many others, a start and management, which carry the instant at which they were sent. A message of one
    `sender` and `sender_sequence` is accepted once while it waits.
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="inbox", db_constraint=False, db_index=False
    )
    execution = models.CharField(max_length=32, default="", blank=True)
    not_before = models.DateTimeField(null=True)
    kind = models.CharField(max_length=40)
    is_control = models.BooleanField(default=False)
    sender = models.CharField(max_length=100)
    sender_sequence = models.BigIntegerField(default=0)
    body = models.TextField()
    size = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "sender", "sender_sequence"], name="inbox_message_once"),
        ]
        indexes = [
            # the look of a commit and the load of a turn: what counts at once, in order of arrival
            models.Index(fields=["instance", "id"], condition=models.Q(not_before__isnull=True), name="inbox_in_order"),
            # the same: what counts from an instant on, and the earliest such instant to come
            models.Index(
                fields=["instance", "not_before"], condition=models.Q(not_before__isnull=False), name="inbox_in_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.instance_id}"


class EventReceipt(models.Model):
    """The id of an external event that was accepted, so that sending it again is a no-op (EVT-5), until it expires."""

    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="receipts", db_constraint=False, db_index=False
    )
    event_id = models.CharField(max_length=100)
    event_name = models.CharField(max_length=256)
    accepted_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "event_id"], name="event_once")]
        indexes = [
            # the sweeper forgets what has expired
            models.Index(fields=["expires_at"], name="receipt_expiry"),
        ]

    def __str__(self) -> str:
        return self.event_id
