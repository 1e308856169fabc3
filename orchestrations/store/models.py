"""The tables. Rows and constraints only: the verbs are functions in the modules beside this one, and only they write.

Workers poll two tables, so those hold nothing but open rows: `InboxMessage` (on its way to an instance) and
`ActivityTask` (not yet settled). Payloads are TEXT of canonical JSON, never a JSON column: databases re-order and
re-write those (`jsonb`), and an author must see on replay exactly what he saw first.

Rows of an instance have no foreign key in the database: they are written under the lock of its row, which is found
first, so the check would ask once more, for every row at every COMMIT, what the lock has told already.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from orchestrations.engine.state import Status

__all__ = [
    "ActivityTask",
    "AuditEntry",
    "EventReceipt",
    "HistoryEvent",
    "InboxMessage",
    "Instance",
    "RateLimit",
    "SignInLink",
    "Supervisor",
    "TaskHub",
    "Worker",
]

STATUS_CHOICES = [(s.value, s.value) for s in Status]


class TaskHub(models.Model):
    """A named, isolated set of instances, queues and permissions."""

    name = models.CharField(max_length=45, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Instance(models.Model):
    """One orchestration. `due_at` is the earliest instant at which something that counts waits for it, or null.

    `lease_owner`, `lease_until` and `lease_epoch` fence its turns; `revision` counts its visible changes.
    """

    hub = models.ForeignKey(TaskHub, on_delete=models.PROTECT, related_name="instances")
    instance_id = models.CharField(max_length=256)
    name = models.CharField(max_length=256)
    version = models.CharField(max_length=256, null=True)  # noqa: DJ001 - no version differs from an empty one (VER-3)
    status = models.CharField(max_length=16, choices=STATUS_CHOICES, default=Status.PENDING)
    tags = models.TextField(default="{}")
    priority = models.SmallIntegerField(default=0)
    queue = models.CharField(max_length=100)

    execution = models.CharField(max_length=32)
    next_sequence = models.IntegerField(default=0)
    revision = models.BigIntegerField(default=1)
    last_turn_at = models.DateTimeField(null=True)

    due_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=32, default="", blank=True)
    lease_until = models.DateTimeField(null=True)
    lease_epoch = models.BigIntegerField(default=0)
    lost_turns = models.SmallIntegerField(default=0)

    input = models.TextField(null=True)  # noqa: DJ001 - absent differs from any JSON text
    output = models.TextField(null=True)  # noqa: DJ001
    failure = models.TextField(null=True)  # noqa: DJ001
    custom_status = models.TextField(null=True)  # noqa: DJ001
    waiting = models.TextField(default="[]")
    status_reason = models.TextField(default="", blank=True)
    blocked = models.CharField(max_length=32, default="", blank=True)
    blocked_detail = models.TextField(default="", blank=True)

    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="children")
    parent_execution = models.CharField(max_length=32, default="", blank=True)
    parent_sequence = models.IntegerField(null=True)
    parent_attempt = models.IntegerField(default=1)
    depth = models.SmallIntegerField(default=0)

    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hub", "instance_id"], name="instance_id_unique_in_hub"),
        ]
        indexes = [
            # claims and the sweeper: what is due in a queue
            models.Index(fields=["queue", "due_at"], condition=models.Q(due_at__isnull=False), name="instance_due"),
            # the supervisor renews and hands back what its workers hold
            models.Index(fields=["lease_owner"], condition=~models.Q(lease_owner=""), name="instance_leased"),
            # the list, newest first, alone or by status or name
            models.Index(fields=["hub", "-created_at", "-id"], name="instance_newest"),
            models.Index(fields=["hub", "status", "-created_at", "-id"], name="instance_by_status"),
            models.Index(fields=["hub", "name", "-created_at", "-id"], name="instance_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.instance_id}"


class HistoryEvent(models.Model):
    """A fact, ordered within an execution, never changed. The key is the last line of defence against two writers."""

    pk = models.CompositePrimaryKey("instance_id", "execution", "sequence")
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="history", db_constraint=False)
    execution = models.CharField(max_length=32)
    sequence = models.IntegerField()
    kind = models.CharField(max_length=40)
    body = models.TextField()

    def __str__(self) -> str:
        return f"{self.sequence} {self.kind}"


class InboxMessage(models.Model):
    """Something on its way to an instance. A timer is a message to oneself that becomes visible later."""

    id = models.BigAutoField(primary_key=True)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="inbox", db_constraint=False)
    execution = models.CharField(max_length=32, default="", blank=True)
    visible_at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    is_control = models.BooleanField(default=False)
    body = models.TextField()
    dedup_key = models.CharField(max_length=100)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "dedup_key"], name="inbox_message_once"),
        ]
        indexes = [
            # the look of a commit, and the load of a turn
            models.Index(fields=["instance", "visible_at", "id"], name="inbox_visible"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.instance_id}"


class EventReceipt(models.Model):
    """The id of an external event that was accepted, so that sending it again is a no-op (EVT-5)."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="receipts")
    event_id = models.CharField(max_length=100)
    event_name = models.CharField(max_length=256)
    accepted_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "event_id"], name="event_once")]

    def __str__(self) -> str:
        return self.event_id


class ActivityTask(models.Model):
    """An attempt of an activity that is not settled. `lease_epoch` counts deliveries; settling removes the row."""

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
    lost_attempts = models.SmallIntegerField(default=0)
    blocked = models.CharField(max_length=32, default="", blank=True)

    class Meta:
        indexes = [
            # claims and the sweeper
            models.Index(fields=["queue", "due_at", "id"], name="activity_due"),
            # the supervisor renews and hands back what its workers hold
            models.Index(fields=["lease_owner"], condition=~models.Q(lease_owner=""), name="activity_leased"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.sequence}"


class AuditEntry(models.Model):
    """Who did what to which instance, committed together with what was done. Written once, never changed."""

    id = models.BigAutoField(primary_key=True)
    hub = models.ForeignKey(TaskHub, on_delete=models.PROTECT, related_name="audit")
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
    supervisor = models.ForeignKey(Supervisor, on_delete=models.CASCADE, related_name="workers")
    queue = models.CharField(max_length=100)
    pid = models.IntegerField()
    fingerprint = models.CharField(max_length=64, default="", blank=True)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.id


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
