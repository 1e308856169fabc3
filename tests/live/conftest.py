"""Sockets read in threads, so the database is committed to. The layer is in memory unless said otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from orchestrations.live import broadcast, tags
from orchestrations.store import hubs


@pytest.fixture(autouse=True)
def _process(transactional_db: None, settings: LazySettings) -> Iterator[None]:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    hubs.forget()
    tags.forget()
    broadcast.broadcaster.take()
    yield
    hubs.forget()
