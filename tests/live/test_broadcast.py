"""Many changes are few messages, and a channel layer that is away costs one line in the log."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from typing import Any

import pytest
from django.conf import LazySettings

from orchestrations.live import broadcast
from orchestrations.live.broadcast import ID_LIMIT, Broadcaster
from orchestrations.live.groups import hub_group


class Layer:
    """Stands for a channel layer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[float, str, dict[str, Any]]] = []
        self.error = error

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append((time.monotonic(), group, message))
        if self.error:
            raise self.error


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Layer:
    found = Layer()
    monkeypatch.setattr(broadcast, "get_channel_layer", lambda: found)
    return found


def _send(broadcaster: Broadcaster) -> None:
    asyncio.run(broadcaster.send())


def test_one_message_for_a_hub_with_the_latest_revisions(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    broadcaster = Broadcaster()
    monkeypatch.setattr(broadcaster, "wake", lambda: None)
    for revision in range(5):
        broadcaster.note("main", "a", revision)
    broadcaster.note("main", "b", 1)
    broadcaster.note("other", "a", 1)
    _send(broadcaster)
    assert [(group, message) for _, group, message in layer.sent] == [
        (hub_group("main"), {"type": "hint", "ids": [["a", 4], ["b", 1]]}),
        (hub_group("other"), {"type": "hint", "ids": [["a", 1]]}),
    ]
    _send(broadcaster)
    assert len(layer.sent) == 2


def test_beyond_a_bound_it_is_just_many(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    broadcaster = Broadcaster()
    monkeypatch.setattr(broadcaster, "wake", lambda: None)
    for number in range(ID_LIMIT + 500):
        broadcaster.note("main", str(number), 1)
    assert [m for _, m in broadcaster.take()] == [{"type": "hint", "many": True}]


def test_a_storm_of_changes_costs_little_and_few_messages(layer: Layer) -> None:
    broadcaster, number = Broadcaster(), 50_000
    begun = time.monotonic()
    threads = [threading.Thread(target=_storm, args=[broadcaster, number // 2]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    broadcaster.finish(2)
    assert took / number < 0.0001
    assert 1 <= len(layer.sent) <= took / broadcast.INTERVAL_SECONDS + 2
    pauses = [b - a for (a, *_), (b, *_) in zip(layer.sent, layer.sent[1:], strict=False)]
    assert all(pause > 0.9 * broadcast.INTERVAL_SECONDS for pause in pauses)


def _storm(broadcaster: Broadcaster, number: int) -> None:
    for i in range(number):
        broadcaster.note("main", str(i % 300), i)


def test_layer_that_is_away_is_logged_once(layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    broadcaster = Broadcaster()
    layer.error = OSError("refused")
    with caplog.at_level(logging.WARNING, "orchestrations.live"):
        for _ in range(3):
            broadcaster.note("main", "a", 1)
            broadcaster.finish(2)
    assert [record.message for record in caplog.records if "away" in record.message] == [
        "the channel layer is away, pages fall back to their beat: OSError('refused')"
    ]
    layer.error = None
    broadcaster.note("main", "a", 2)
    broadcaster.finish(2)
    assert len(layer.sent) == 4


def test_redis_that_is_away_neither_raises_nor_delays(settings: LazySettings) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://127.0.0.1:1/0"]},
        }
    }
    begun = time.monotonic()
    broadcast.on_instance_changed(None, hub="main", instance_id="a", revision=1)
    broadcast.on_burst_ended(None)
    assert time.monotonic() - begun < 0.05
    broadcast.broadcaster.finish(3)


def test_process_that_ends_at_once_says_what_it_did(layer: Layer) -> None:
    broadcaster = Broadcaster()
    broadcaster.note("main", "a", 1)
    broadcaster.finish()
    assert len(layer.sent) == 1


def test_forked_child_begins_anew() -> None:
    broadcaster = Broadcaster()
    with broadcaster._lock:  # as if another thread held it when the process forked
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_forked, args=[broadcaster])
        child.start()
        child.join(10)
    assert child.exitcode == 0


def _forked(broadcaster: Broadcaster) -> None:
    broadcaster.forget()
    broadcaster.note("main", "a", 1)
