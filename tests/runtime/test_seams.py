"""Races and seams between leases, results, families and clocks, each as it was once found wrong."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection

from orchestrations import OrchestrationContext, activity, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.conf import default_queue
from orchestrations.engine.state import Status
from orchestrations.runtime.bursts import Burst
from orchestrations.store import claims, clock, inbox, leases, looks, processes
from orchestrations.store import commit as store_commit
from orchestrations.store.claims import ClaimLimits
from orchestrations.store.models import ActivityTask, Schedule, Supervisor
from tests.bursts import HINTS, burst_once, drain, new_worker, run, status_of
from tests.store import holding
from tests.store.concurrency import beside, held_beside, wait_until_blocked

Body = Generator[Any, Any, Any]
CALLS: list[str] = []
DURING: list[Any] = []


@activity(at_most_once=True)
def note_once(value: Any) -> Any:
    CALLS.append("once")
    return value


@orchestrator
def note_one(context: OrchestrationContext) -> Body:
    return (yield context.call_activity(note_once, 1))


@activity
def note_quick(value: Any) -> Any:
    CALLS.append("quick")
    return value


@activity
def note_long(value: Any) -> Any:
    """While it runs the supervisor hands back what it holds up."""
    CALLS.append("long")
    if DURING:
        DURING.pop()()
    return value


@orchestrator
def note_all(context: OrchestrationContext) -> Body:
    return (yield context.task_all([context.call_activity(f"note_{n}", 1) for n in ("once", "quick", "long")]))


@orchestrator
def take_ten(context: OrchestrationContext) -> Body:
    for _ in range(10):
        yield context.wait_for_external_event("x")


@orchestrator
def go_on_after(context: OrchestrationContext) -> Body:
    yield context.wait_for_external_event("a")
    CALLS.append("ran")
    yield context.wait_for_external_event("b")


@orchestrator
def call_what_others_have(context: OrchestrationContext) -> Body:
    return (yield context.call_activity("only_elsewhere"))


@orchestrator
def start_a_child_on_go(context: OrchestrationContext) -> Body:
    yield context.wait_for_external_event("go")
    return (yield context.call_sub_orchestrator("wait_for", ["never"], "the-child"))


@orchestrator
def call_all(context: OrchestrationContext, ids: list[str]) -> Body:
    return (yield context.task_all([context.call_sub_orchestrator("sequence", 1, i) for i in ids]))


@orchestrator
def call_a_chain(context: OrchestrationContext, ids: list[str]) -> Body:
    if ids:
        yield context.call_sub_orchestrator("call_a_chain", ids[1:], ids[0])
    return 1


@pytest.fixture(autouse=True)
def _nothing_noted() -> None:
    CALLS.clear()
    DURING.clear()
    HINTS.clear()


# --- results in hand


def test_what_has_ended_and_is_not_settled_stays_with_its_worker_while_something_runs_long(
    settings: Any, tmp_path: Any
) -> None:
    from orchestrations.authoring.registry import registry
    from orchestrations.runtime.watch import Watch
    from orchestrations.runtime.worker_state import WorkerState

    settings.DURABLE_RESULT_GROUP_SECONDS = 5.0
    worker = WorkerState("w" * 32, registry.fingerprint(), Watch(tmp_path / "watch"))
    for name in ("note_once", "note_quick", "note_long"):
        worker.pace.note(name, 0.0001)

    def hand_back() -> None:
        assert worker.watch is not None
        reading = worker.watch.read()
        leases.take_back(worker.owner, lambda: {r.key for r in reading.running} | reading.finished)
        burst_once()

    DURING.append(hand_back)
    instance_id = DurableClient().start_new("note_all")
    Burst(worker, default_queue()).run()
    worker.close()
    drain()
    assert DurableClient().get_status(instance_id).output == [1, 1, 1]
    assert sorted(CALLS) == ["long", "once", "quick"]


def test_what_may_run_once_and_has_begun_is_never_taken_from_a_living_worker() -> None:
    holding.start("note_all")
    holding.turn("w", share=False, keep=False)
    holding.claim("w")
    once = ActivityTask.objects.get(name="note_once")
    ActivityTask.objects.filter(pk=once.pk).update(begun_at=clock.now())
    leases.take_back("w", set)
    assert list(ActivityTask.objects.exclude(lease_owner="").values_list("pk", flat=True)) == [once.pk]


def test_what_began_under_an_earlier_lease_is_let_go_by_a_worker_that_does_not_know_of_its_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would stay its own for as long as that worker lives."""
    instance_id = DurableClient().start_new("note_one")
    holding.turn("dead", share=False, keep=False)
    holding.claim("dead")
    ActivityTask.objects.update(begun_at=clock.now())
    leases.lose("dead", None, None, clock.now())
    real = claims.claim

    def claim(*arguments: Any, **options: Any) -> Any:
        real(*arguments, **options)
        raise OperationalError("server closed the connection unexpectedly")

    worker = new_worker()
    burst = Burst(worker, default_queue())
    with monkeypatch.context() as patched:
        patched.setattr(claims, "claim", claim)
        with pytest.raises(OperationalError):
            burst.run()
    burst.give_up()
    assert not ActivityTask.objects.exclude(lease_owner="").exists()
    drain(worker)
    worker.close()
    failure = DurableClient().get_status(instance_id).failure
    assert failure is not None
    assert "may run at most once" in failure.message


def test_the_share_of_a_plan_whose_answer_was_lost_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = store_commit.commit_turns, []

    def commit_turns(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("something with a batch-mate")
        found = real(*arguments)
        if len(calls) == 2:
            raise OperationalError("server closed the connection unexpectedly")
        return found

    monkeypatch.setattr(store_commit, "commit_turns", commit_turns)
    instance_id = DurableClient().start_new("sequence", client_input=1)
    worker = new_worker()
    Burst(worker, default_queue()).run()
    drain(worker)
    worker.close()
    assert status_of(instance_id) is Status.COMPLETED


# --- suspended and parked


def test_an_event_that_came_in_time_wins_over_a_timeout_that_passed_while_both_waited() -> None:
    client = DurableClient()
    instance_id = client.start_new("wait_or_default", client_input=60)
    burst_once()
    client.suspend(instance_id)
    burst_once()
    client.raise_event(instance_id, "go", "came in time")
    time.sleep(0.5)
    client.resume(instance_id)
    drain()
    assert client.get_status(instance_id).output == "came in time"


def test_at_its_history_limit_an_instance_is_suspended_and_not_claimed_again_and_again(settings: Any) -> None:
    client = DurableClient()
    instance_id = client.start_new("take_ten")
    burst_once()
    settings.DURABLE_HISTORY_EVENTS = holding.schedule_of(instance_id).position
    client.raise_event(instance_id, "x")
    burst_once()
    assert holding.schedule_of(instance_id).blocked == "history-limit"
    before = holding.schedule_of(instance_id).lease_epoch
    client.suspend(instance_id)
    burst_once()
    assert status_of(instance_id) is Status.SUSPENDED
    assert holding.schedule_of(instance_id).lease_epoch - before <= 2


def test_an_instance_that_has_lost_its_workers_is_suspended_without_running_its_code() -> None:
    client = DurableClient()
    instance_id = client.start_new("go_on_after")
    burst_once()
    client.raise_event(instance_id, "a")
    client.suspend(instance_id)
    Schedule.objects.update(losses=5)
    burst_once()
    assert (CALLS, status_of(instance_id)) == ([], Status.SUSPENDED)
    client.resume(instance_id)
    burst_once()
    assert CALLS == []
    assert holding.schedule_of(instance_id).blocked == "lost-turns"


def test_management_that_cannot_be_read_is_no_cause_to_try_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrations.store.models import InboxMessage

    client = DurableClient()
    instance_id = client.start_new("go_on_after")
    burst_once()
    client.suspend(instance_id)
    InboxMessage.objects.filter(is_control=True).update(body='{"EventType":"FromTheFuture"}')
    burst_once()
    row = holding.schedule_of(instance_id)
    assert row.blocked == "payload"
    assert row.due_at is not None
    assert row.due_at > clock.now() + timedelta(seconds=5)


# --- order


class Later(clock.DatabaseClock):
    """A minute ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=61)


def test_a_timeout_does_not_overtake_an_event_that_a_look_has_not_shown_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "MESSAGES", 3)
    client = DurableClient()
    instance_id = client.start_new("wait_or_default", client_input=60)
    burst_once()
    for number in range(3):
        client.raise_event(instance_id, "other", number)
    client.raise_event(instance_id, "go", "came in time")
    with clock.kept_by(Later()):
        drain()
    assert client.get_status(instance_id).output == "came in time"


# --- functions of others


def test_what_was_put_aside_goes_on_when_a_worker_that_has_it_comes_back_under_its_old_code() -> None:
    now = clock.now()
    home = processes.Home("s", default_queue(), "other-code")
    processes.register_code("other-code", {"activity": ["only_elsewhere"]}, now)
    processes.register_worker(processes.Process("gone", 1, now - timedelta(seconds=40)), home)
    DurableClient().start_new("call_what_others_have")
    drain()
    assert ActivityTask.objects.get().blocked == "missing-function"
    assert leases.unblock_served(clock.now()) == 0
    assert not processes.register_worker(processes.Process("back", 2, clock.now()), home)
    assert leases.unblock_served(clock.now()) == 1
    assert ActivityTask.objects.get().blocked == ""
    assert HINTS.take() is not None


def test_activities_that_find_no_room_are_left_to_other_workers_at_once(settings: Any) -> None:
    settings.DURABLE_ASYNC_ACTIVITIES = 2
    DurableClient().start_new("nap_often", client_input=60)
    holding.turn("somebody", share=False, keep=False)
    worker = new_worker()
    Burst(worker, default_queue()).run()
    assert worker.lanes.full_names() != ()
    due = ActivityTask.objects.filter(due_at__lte=clock.now(), lease_until=None).count()
    assert due >= 60 - 2 * 2
    assert not claims.claim(
        default_queue(), "w2", ClaimLimits(10, 10, 30.0, unknown_activities=worker.lanes.full_names()), clock.now()
    ).activities
    assert len(holding.claim("w2", activities=10).activities) == 10
    worker.close()


@activity
async def doze(seconds: float) -> float:
    import asyncio

    await asyncio.sleep(seconds)
    return seconds


@orchestrator
def nap_often(context: OrchestrationContext, count: int) -> Body:
    return len((yield context.task_all([context.call_activity("doze", 0.5) for _ in range(count)])))


# --- families and ids


def test_a_child_that_a_waiting_commit_creates_is_ended_with_its_replaced_parent() -> None:
    client = DurableClient()
    client.start_new("start_a_child_on_go", "P")
    burst_once()
    client.raise_event("P", "go")
    plans = holding.plan(holding.hold(holding.claim("w").instances))
    with held_beside(lambda: holding.commit(plans)) as finish:
        future = beside(lambda: client.start_new("wait_for", "P", ["x"], if_exists="replace_any"))
        wait_until_blocked(future)
        finish()
        future.result(20)
    drain()
    assert status_of("the-child") is Status.TERMINATED


def test_an_ended_instance_and_its_ended_child_are_replaced_in_one_commit() -> None:
    run("call_a_chain", ["X", "Y"], instance_id="P")
    DurableClient().start_new("call_all", "O", ["P", "X"])
    drain()
    assert status_of("O") is Status.COMPLETED


def test_an_event_to_an_id_that_is_being_replaced_goes_to_the_new_instance() -> None:
    client = DurableClient()
    client.start_new("wait_for", "S", ["a"])
    burst_once()
    with held_beside(lambda: client.start_new("wait_for", "S", ["a"], if_exists="replace_any")) as finish:
        future = beside(lambda: client.raise_event("S", "a", 1))
        wait_until_blocked(future)
        finish()
        assert future.result(20)
    drain()
    assert client.get_status("S").output == [1]


# --- statements and locks of PostgreSQL


def test_a_claim_that_waited_for_a_row_knows_what_others_have_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a transaction is alone there")
    client = DurableClient()
    monkeypatch.setattr(looks, "FIRST_MESSAGES", 2)
    instance_id = client.start_new("wait_for", client_input=["a"] * 6)
    for number in range(5):
        client.raise_event(instance_id, "a", number)
    real = claims._without

    def slowly(column: str, names: Any) -> tuple[str, list[Any]]:
        if column != "capability":
            return real(column, names)
        return " AND (SELECT count(pg_sleep(1.5))) = 1", []

    monkeypatch.setattr(claims, "_without", slowly)
    later = clock.now() + timedelta(seconds=3)
    first = beside(lambda: claims.claim(default_queue(), "W1", ClaimLimits(10, 10, 30.0), later))
    time.sleep(0.5)
    monkeypatch.setattr(claims, "_without", real)
    holding.turn("W2", keep=False)
    (found,) = first.result(20).instances
    assert (found.facts.status, found.has_begun) == (Status.RUNNING, True)
    leases.release([found], clock.now())
    client.raise_event(instance_id, "a", 9)
    drain()
    assert status_of(instance_id) is Status.COMPLETED


def test_a_supervisor_beats_while_a_row_that_it_waits_for_is_locked(settings: Any) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("there are no row locks")
    from orchestrations.runtime.registrar import Registrar

    settings.DURABLE_BEAT_SECONDS = 0.3
    client = DurableClient()
    instance_id = client.start_new("wait_for", client_input=["a"])
    holding.claim("worker-1")
    registrar = Registrar("supervisor-1", default_queue())
    with held_beside(lambda: inbox.lock_named(client.hub, instance_id)) as finish:
        registrar.start()
        time.sleep(0.8)
        before = Supervisor.objects.get(pk="supervisor-1").seen_at
        registrar.note_long_activity("worker-1", set)
        time.sleep(7.0)
        after = Supervisor.objects.get(pk="supervisor-1").seen_at
        finish()
    registrar.finish(3)
    assert after - before > timedelta(seconds=4)
