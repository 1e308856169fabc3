"""An instance: what people query of it, what workers claim of it, its texts and its history."""

from __future__ import annotations

from django.db import models

from orchestrations.engine.state import Status
from orchestrations.store.models.hubs import TaskHub

STATUS_CHOICES = [(s.value, s.value) for s in Status]


class Instance(models.Model):
    """One orchestration: the facts that people query. An input is in the event that began the execution."""

    hub = models.ForeignKey(TaskHub, on_delete=models.PROTECT, related_name="instances", db_index=False)
    instance_id = models.CharField(max_length=256)
    name = models.CharField(max_length=256)
    version = models.CharField(max_length=256, null=True)  # noqa: DJ001 - no version differs from an empty one (VER-3)
    status = models.CharField(max_length=16, choices=STATUS_CHOICES, default=Status.PENDING)
    status_reason = models.TextField(default="", blank=True)
    tags = models.TextField(default="{}")
    priority = models.SmallIntegerField(default=0)

    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="children")
    parent_execution = models.CharField(max_length=32, default="", blank=True)
    parent_sequence = models.IntegerField(null=True)
    parent_attempt = models.IntegerField(default=1)
    depth = models.SmallIntegerField(default=0)

    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hub", "instance_id"], name="instance_id_unique_in_hub"),
        ]
        indexes = [
            # the list, newest first, alone or by status or name
            models.Index(fields=["hub", "-created_at", "-id"], name="instance_newest"),
            models.Index(fields=["hub", "status", "-created_at", "-id"], name="instance_by_status"),
            models.Index(fields=["hub", "name", "-created_at", "-id"], name="instance_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.instance_id}"


class Gate(models.IntegerChoices):
    """Which messages make an instance due."""

    OPEN = 0
    """All of them."""
    HELD = 1
    """Management alone: it is suspended, parked, or has not begun."""
    CLOSED = 2
    """None: it has ended, and takes no message any more (INS-3)."""


class Schedule(models.Model):
    """What makes an instance due and who holds it; and what changes with every turn.

    `due_at` is the earliest instant at which something that counts waits for it, or null. `lease_owner`, `lease_until`
    and `lease_epoch` fence its turns; without a lease `lease_until` is null. `arrivals` counts deliveries of others to
    its inbox: while it stays the same, who has looked knows what waits. `position` is that of the next history event,
    `history_size` the size of the history; `revision` counts visible changes. `owed` names activities that are no rows,
    as the burst which has the lease keeps them for itself (`store/owed.py`).
    """

    instance = models.OneToOneField(
        Instance, primary_key=True, on_delete=models.CASCADE, related_name="schedule", db_constraint=False
    )
    queue = models.CharField(max_length=100)
    capability = models.CharField(max_length=256)
    due_at = models.DateTimeField(null=True)
    gate = models.SmallIntegerField(choices=Gate.choices, default=Gate.OPEN)
    lease_owner = models.CharField(max_length=32, default="", blank=True)
    lease_until = models.DateTimeField(null=True)
    lease_epoch = models.BigIntegerField(default=0)
    losses = models.SmallIntegerField(default=0)
    arrivals = models.BigIntegerField(default=0)

    execution = models.CharField(max_length=32)
    position = models.IntegerField(default=0)
    history_size = models.BigIntegerField(default=0)
    revision = models.BigIntegerField(default=1)
    turned_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()
    waiting = models.TextField(default="[]")
    blocked = models.CharField(max_length=32, default="", blank=True)
    blocked_detail = models.TextField(default="", blank=True)
    owed = models.TextField(default="", blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(owed="") | models.Q(lease_until__isnull=False), name="schedule_owes_by_lease"
            ),
        ]
        indexes = [
            # claims, the sweeper and its plan for the next second: what is due in a queue and nobody's
            models.Index(
                fields=["queue", "due_at"],
                condition=models.Q(due_at__isnull=False, lease_until__isnull=True),
                name="schedule_due",
            ),
            # claims and the sweeper: leases that have run out
            models.Index(
                fields=["queue", "lease_until"], condition=models.Q(lease_until__isnull=False), name="schedule_lapsed"
            ),
            # the supervisor renews and hands back what its workers hold
            models.Index(fields=["lease_owner"], condition=models.Q(lease_until__isnull=False), name="schedule_leased"),
            # the page of what is stuck; the retry of what other code had parked
            models.Index(fields=["blocked"], condition=models.Q(blocked__gt=""), name="schedule_blocked"),
        ]

    def __str__(self) -> str:
        return f"schedule of {self.instance_id}"


class Payload(models.Model):
    """The texts of an instance that lists do not read. The row is there once there is anything to hold."""

    instance = models.OneToOneField(
        Instance, primary_key=True, on_delete=models.CASCADE, related_name="payload", db_constraint=False
    )
    output = models.TextField(null=True)  # noqa: DJ001 - absent differs from any JSON text
    failure = models.TextField(null=True)  # noqa: DJ001
    custom_status = models.TextField(null=True)  # noqa: DJ001

    def __str__(self) -> str:
        return f"payload of {self.instance_id}"


class HistoryPart(models.Model):
    """Consecutive history events of one turn: facts, ordered within an execution, never changed. The key is the last
    line of defence against two writers.

    `sequence` is the position of the first one, `count` their number. Positions rise; there may be gaps between parts,
    so they tell an order and no number. A turn is one part as a rule: a row costs more than what is in it.
    """

    pk = models.CompositePrimaryKey("instance_id", "execution", "sequence")
    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="history", db_constraint=False, db_index=False
    )
    execution = models.CharField(max_length=32)
    sequence = models.IntegerField()
    count = models.IntegerField()
    body = models.TextField()  # the events' JSON texts, with a comma between each two

    def __str__(self) -> str:
        return f"{self.count} events from {self.sequence} on"
