"""WebSocket routes. Whoever mounts them puts an exact origin check and the session in front."""

from __future__ import annotations

from typing import Any

from django.urls import path

from orchestrations.live.consumers import LiveConsumer

websocket_urlpatterns: list[Any] = [
    path("hubs/<str:hub>/live/", LiveConsumer.as_asgi()),
]
