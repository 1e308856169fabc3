"""Task hubs."""

from __future__ import annotations

from django.db import models


class TaskHub(models.Model):
    """A named, isolated set of instances, queues and permissions."""

    name = models.CharField(max_length=45, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
