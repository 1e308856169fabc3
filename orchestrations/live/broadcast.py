"""Placeholder until the live package is complete."""

from typing import Any


def on_instance_changed(sender: Any, *, hub: str, instance_id: str, revision: int, **_: Any) -> None:
    """Do nothing yet."""


def on_burst_ended(sender: Any, **_: Any) -> None:
    """Do nothing yet."""
