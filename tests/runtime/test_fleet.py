"""A worker claims only what it can run, and what nobody can run says so on its instance."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrations.authoring.registry import ACTIVITY, KINDS, ORCHESTRATOR, registry
from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.client.queries.filters import InstanceFilter
from orchestrations.client.status import Blocked
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.runtime.bursts import Burst
from orchestrations.runtime.worker_state import WorkerState
from orchestrations.store import clock, leases, processes
from orchestrations.store.models import ActivityTask, Schedule
from tests.bursts import burst_once, drain, new_worker, status_of


def register(name: str, *, without: tuple[str, ...] = (), queue: str | None = None) -> None:
    """Let a worker live that can run all that we can, but for some functions."""
    names = {kind: [n for n in registry.names(kind) if n not in without] for kind in KINDS}
    now = clock.now()
    processes.register_code(name, names, now)
    home = processes.Home("s", queue or default_queue(), name)
    processes.register_worker(processes.Process(name, 1, now), home)


def blocked(instance_id: str) -> Blocked | None:
    return queries.get_instance(DurableClient().hub, instance_id).blocked


def stuck() -> list[str]:
    page = queries.list_instances(DurableClient().hub, InstanceFilter(blocked=True))
    return [row.instance_id for row in page.rows]


def test_a_mistyped_activity_is_named_on_its_instance_with_the_nearest_known_name() -> None:
    register("w")
    instance_id = DurableClient().start_new("call", client_input="ecko")
    burst_once()
    found = blocked(instance_id)
    assert found is not None
    assert found.reason == "missing-function"
    assert found.message == (
        "Activity 'ecko' is not registered on any live worker of the queue 'main.default'; did you mean 'echo'?"
        " Deploy an activity of that name; a corrected orchestrator helps new instances only."
    )
    assert stuck() == [instance_id]
    page = queries.list_instances(DurableClient().hub, InstanceFilter())
    assert [row.blocked for row in page.rows] == [found]
    assert queries.list_instances(DurableClient().hub, InstanceFilter(blocked=False)).rows == ()


def test_what_it_waits_for_goes_on_beside_it_and_the_mark_stays_until_somebody_can_run_it() -> None:
    client = DurableClient()
    instance_id = client.start_new("call", client_input="ecko")
    burst_once()
    client.suspend(instance_id)
    burst_once()
    client.resume(instance_id)
    burst_once()
    assert blocked(instance_id) is not None
    ActivityTask.objects.update(name="echo")  # as if code with that name had been deployed
    assert leases.retry_blocked("new", clock.now()) == 1
    drain()
    assert status_of(instance_id) is Status.COMPLETED
    assert stuck() == []


def test_an_activity_that_another_living_worker_has_is_left_to_it_without_a_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register("other")
    instance_id = DurableClient().start_new("call", client_input="echo")
    worker = new_worker()
    with monkeypatch.context() as patch:
        patch.delitem(registry._functions, (ACTIVITY, "echo"))
        _burst(worker)
        assert worker.fleet.left(ACTIVITY) == ("echo",)
        _burst(worker)
    row = ActivityTask.objects.get()
    assert (row.blocked, row.lease_owner, row.losses) == ("", "", 0)
    assert blocked(instance_id) is None
    worker.close()
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_an_orchestrator_that_another_living_worker_has_is_left_to_it_and_not_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register("other")
    instance_id = DurableClient().start_new("plain")
    worker = new_worker()
    with monkeypatch.context() as patch:
        patch.delitem(registry._functions, (ORCHESTRATOR, "plain"))
        _burst(worker)
        _burst(worker)
    assert worker.fleet.left(ORCHESTRATOR) == ("plain",)
    assert Schedule.objects.get().blocked == ""
    worker.close()
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_a_worker_looks_again_after_a_while_for_the_others_may_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    register("other")
    instance_id = DurableClient().start_new("call", client_input="echo")
    worker = new_worker()
    real = clock.monotonic
    with monkeypatch.context() as patch:
        patch.delitem(registry._functions, (ACTIVITY, "echo"))
        _burst(worker)
        processes.remove_supervisor("s")
        patch.setattr(clock, "monotonic", lambda: real() + 60.0)
        _burst(worker)
    worker.close()
    found = blocked(instance_id)
    assert found is not None
    assert found.reason == "missing-function"


def test_a_queue_that_nobody_serves_is_named_on_the_instances_that_wait_in_it() -> None:
    register("w")
    instance_id = DurableClient().start_new("call", client_input="echo")
    burst_once_without_activities()
    ActivityTask.objects.update(queue="main.gpu", due_at=clock.now() - timedelta(minutes=1))
    found = blocked(instance_id)
    assert found is not None
    assert found.reason == "no-worker"
    assert "Activity 'echo' waits in the queue 'main.gpu', which no live worker serves." in found.message
    assert "durable_worker --queue main.gpu" in found.message
    assert stuck() == [instance_id]
    register("gpu", queue="main.gpu")
    assert blocked(instance_id) is None
    assert stuck() == []


def test_an_instance_in_a_queue_that_nobody_serves_says_so() -> None:
    instance_id = DurableClient().start_new("plain")
    Schedule.objects.update(due_at=clock.now() - timedelta(minutes=1))
    found = blocked(instance_id)
    assert found is not None
    assert found.reason == "no-worker"
    register("w")
    assert blocked(instance_id) is None


def burst_once_without_activities() -> None:
    from tests.store.holding import turn

    turn("w", share=False, keep=False)


def _burst(worker: WorkerState) -> None:
    Burst(worker, default_queue()).run()
