"""What people did and may do: the audit, links to sign in, and what slows down who guesses."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from orchestrations.store.models.hubs import TaskHub


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
