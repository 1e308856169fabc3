"""Two hubs side by side, each with queues and workers of its own."""

from __future__ import annotations

from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store import hubs
from tests.bursts import HINTS, burst_once, drain


def test_workers_of_a_hub_do_all_of_its_work_and_none_of_another_one_s() -> None:
    hubs.ensure("other")
    main, other = DurableClient("main"), DurableClient("other")
    main.start_new("sequence", "x", 3)
    other.start_new("sequence", "x", 4)
    burst_once("other.default")
    assert (main.get_status("x").runtime_status, other.get_status("x").output) == (Status.PENDING, 6)
    burst_once("main.default")
    assert main.get_status("x").output == 3


def test_hints_name_the_queue_of_the_hub_whose_work_they_announce() -> None:
    hubs.ensure("other")
    HINTS.clear()
    DurableClient("other").start_new("nested", "x", 2)
    hint = HINTS.take()
    assert hint is not None
    assert hint[1] == "other.default"
    burst_once("other.default")
    drain()
    assert DurableClient("other").get_status("x").output == 2
