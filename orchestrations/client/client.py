"""DurableClient. (The signatures are final; the bodies come with the store.)"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrations.client.status import OrchestrationStatus


class DurableClient:
    """Starts and steers instances of one task hub. Each call that returns has committed."""

    def __init__(self, hub: str | None = None) -> None:
        raise NotImplementedError

    def start_new(
        self,
        name: Any,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
        *,
        if_exists: str = "replace_terminal",
        tags: Mapping[str, str] | None = None,
        start_at: datetime | None = None,
        priority: int = 0,
    ) -> str:
        raise NotImplementedError

    def raise_event(
        self, instance_id: str, event_name: str, event_data: Any = None, *, event_id: str | None = None
    ) -> bool:
        """False if `event_id` was accepted before."""
        raise NotImplementedError

    def terminate(self, instance_id: str, reason: str = "", *, recursive: bool = True) -> None:
        raise NotImplementedError

    def suspend(self, instance_id: str, reason: str = "") -> bool:
        """False if it is suspended already."""
        raise NotImplementedError

    def resume(self, instance_id: str, reason: str = "") -> bool:
        """False if it is not suspended."""
        raise NotImplementedError

    def get_status(
        self,
        instance_id: str,
        *,
        show_input: bool = False,
        show_history: bool = False,
        show_history_output: bool = False,
    ) -> OrchestrationStatus:
        raise NotImplementedError

    def wait_for_completion(self, instance_id: str, timeout: float | None = None) -> OrchestrationStatus:
        raise NotImplementedError
