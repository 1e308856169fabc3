"""What many calls ask for at once: one value for each call that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class StartRequest:
    """An instance to start, by the arguments of `DurableClient.start_new`."""

    name: str | Callable[..., Any]
    instance_id: str | None = None
    client_input: Any = None
    version: str | None = None
    tags: Mapping[str, str] | None = None
    start_at: datetime | timedelta | None = None
    priority: int = 0
    input_json: str | None = None


@dataclass(frozen=True, slots=True)
class EventRequest:
    """An external event to raise, by the arguments of `DurableClient.raise_event`."""

    instance_id: str
    event_name: str
    event_data: Any = None
    event_id: str | None = None
    data_json: str | None = None
