"""Names of channel groups. Names of hubs and users are hashed: group names are ASCII and short."""

from __future__ import annotations

import hashlib


def hub_group(hub: str) -> str:
    """Return the group that hears of the changes of a hub's instances."""
    return f"hub.{hashlib.sha256(hub.encode()).hexdigest()[:32]}"


def user_group(user_id: int) -> str:
    """Return the group of a user's sockets, which end when the user signs out or loses a role."""
    return f"user.{user_id}"
