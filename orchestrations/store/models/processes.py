"""Supervisors and workers: who is alive, what they can run, what is known of those that were lost."""

from __future__ import annotations

from django.db import models


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
