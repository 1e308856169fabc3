"""The tables. Rows and constraints only: the verbs are functions in the modules beside this one, and only they write.

An instance is three rows. `Instance` holds the facts that people query, which change when it begins, is suspended or
ends; `Schedule` is the narrow row that workers claim, and that every turn writes; `Payload` holds the texts that no
list reads. An instance's lock is the lock of its `Schedule` row.

`InboxMessage` (on its way to an instance) and `ActivityTask` (not yet settled) hold nothing but open rows. Payloads are
TEXT of canonical JSON, never a JSON column: databases re-order and re-write those (`jsonb`), and an author must see on
replay exactly what he saw first.

Rows of an instance have no foreign key in the database: they are written under its lock, for which the row is found
first, so the check would ask once more, for every row at every COMMIT, what the lock has told already. Nor have they
an index for that key alone where another index begins with it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from orchestrations.engine.state import Status

__all__ = [
    "ActivityTask",
    "AuditEntry",
    "EventReceipt",
    "Gate",
    "HistoryEvent",
    "InboxMessage",
    "Instance",
    "Payload",
    "RateLimit",
    "Schedule",
    "SignInLink",
    "Supervisor",
    "TaskHub",
    "Worker",
    "WorkerCode",
    "WorkerLoss",
]

STATUS_CHOICES = [(s.value, s.value) for s in Status]


class TaskHub(models.Model):
    """A named, isolated set of instances, queues and permissions."""

    name = models.CharField(max_length=45, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


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
    and `lease_epoch` fence its turns; without a lease `lease_until` is null. `position` is that of the next history
    event, `history_bytes` the size of the history; `revision` counts visible changes.
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

    execution = models.CharField(max_length=32)
    position = models.IntegerField(default=0)
    history_bytes = models.BigIntegerField(default=0)
    revision = models.BigIntegerField(default=1)
    turned_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()
    waiting = models.TextField(default="[]")
    blocked = models.CharField(max_length=32, default="", blank=True)
    blocked_detail = models.TextField(default="", blank=True)

    class Meta:
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


class HistoryEvent(models.Model):
    """A fact, ordered within an execution, never changed. The key is the last line of defence against two writers.

    Positions rise; they may have gaps, so they tell an order and no number.
    """

    pk = models.CompositePrimaryKey("instance_id", "execution", "sequence")
    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="history", db_constraint=False, db_index=False
    )
    execution = models.CharField(max_length=32)
    sequence = models.IntegerField()
    kind = models.CharField(max_length=40)
    body = models.TextField()

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind}"


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


class ActivityTask(models.Model):
    """An attempt of an activity that is not settled. `lease_epoch` counts deliveries; settling removes the row.

    `blocked`: no living worker of its queue has the function; it is not claimed until one comes (TSK-8).
    """

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="activities", db_constraint=False)
    execution = models.CharField(max_length=32)
    sequence = models.IntegerField()
    attempt = models.IntegerField(default=1)
    name = models.CharField(max_length=256)
    input = models.TextField(null=True)  # noqa: DJ001 - absent differs from any JSON text
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


class AuditEntry(models.Model):
    """Who did what to which instance, committed together with what was done. Written once, never changed."""

    id = models.BigAutoField(primary_key=True)
    hub = models.ForeignKey(TaskHub, on_delete=models.PROTECT, related_name="audit", db_index=False)
    at = models.DateTimeField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor = models.CharField(max_length=256)
    action = models.CharField(max_length=64)
    instance_id = models.CharField(max_length=256, default="", blank=True)
    reason = models.TextField(default="", blank=True)
    detail = models.TextField(default="{}")
    result = models.CharField(max_length=16, default="done")

    class Meta:
        indexes = [
            # an instance's audit, newest first
            models.Index(fields=["hub", "instance_id", "-id"], name="audit_of_instance"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.instance_id}"


class Supervisor(models.Model):
    """A process that starts and watches workers and sweeps. Alive while `seen_at` is fresh."""

    id = models.CharField(primary_key=True, max_length=32)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    swept_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Worker(models.Model):
    """One worker process; its id is fresh at every start, so that a dead one can never be taken for it."""

    id = models.CharField(primary_key=True, max_length=32)
    supervisor_id = models.CharField(max_length=32)  # no foreign key: either row may come first after an outage
    queue = models.CharField(max_length=100)
    pid = models.IntegerField()
    fingerprint = models.CharField(max_length=64, default="", blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.id


class WorkerCode(models.Model):
    """What workers with that code fingerprint can run: `functions` maps each kind to its names, as JSON."""

    fingerprint = models.CharField(primary_key=True, max_length=64)
    functions = models.TextField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.fingerprint


class WorkerLoss(models.Model):
    """What is known of the last worker that was lost with a piece of work: a turn of an instance, or an activity."""

    work = models.CharField(primary_key=True, max_length=32)
    worker = models.CharField(max_length=32)
    detail = models.TextField()
    lost_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.work}: {self.detail}"


class SignInLink(models.Model):
    """A one-time sign-in link: the token's hash, never the token."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"link of {self.user_id}"


class RateLimit(models.Model):
    """Something that may be tried so often only. Before `free_at` less than all tries are free; after it the row is
    as good as absent, and is removed. The key is a digest: what strangers typed is not kept.
    """

    key = models.CharField(primary_key=True, max_length=64)
    free_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
