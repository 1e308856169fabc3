"""Composition root: it connects the store's signals to wakes and pages, and imports each app's `durable` module."""

from __future__ import annotations

from django.apps import AppConfig


class OrchestrationsConfig(AppConfig):
    """The app."""

    name = "orchestrations"
    verbose_name = "Durable orchestrations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the rings that must not import each other."""
        from django.core.checks import register

        from orchestrations import checks, discovery  # noqa: F401
        from orchestrations.live import broadcast
        from orchestrations.runtime.wake import on_work_available
        from orchestrations.store import signals
        from orchestrations.web.assets import check_packages

        register(check_packages)
        register(discovery.check_functions)
        signals.work_available.connect(on_work_available, dispatch_uid="durable.wake")
        signals.instance_changed.connect(broadcast.on_instance_changed, dispatch_uid="durable.broadcast")
        signals.burst_ended.connect(broadcast.on_burst_ended, dispatch_uid="durable.flush")
        discovery.import_functions()
