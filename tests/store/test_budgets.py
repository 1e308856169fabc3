"""What each step costs, in commits and statements: the same for one as for a hundred, and for ten events as for many.

The numbers are budgets. Who raises one says why in the commit.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from orchestrations.client.client import DurableClient
from orchestrations.client.requests import EventRequest, StartRequest
from orchestrations.conf import conf
from orchestrations.engine.state import Status
from orchestrations.store import activities, clock, histories, hubs, leases, sql
from orchestrations.store.batch import Share, TurnCommit
from orchestrations.store.histories import HISTORY
from orchestrations.store.models import ActivityTask, Instance, TaskHub
from tests.bursts import burst_once, drain, new_worker, status_of
from tests.histories import append
from tests.store.counting import Cost, count_cost
from tests.store.holding import claim, commit, hold, plan, result_of, start, turn

COUNTS = pytest.mark.parametrize("count", [1, 100])
KINDS = pytest.mark.parametrize(("share", "rows"), [(Share.OWED, 0), (Share.LEASED, 1)], ids=["owed", "rows"])


@pytest.fixture(autouse=True)
def _warm() -> None:
    """The hub and the database's clock are asked for once in a process."""
    start("plain", None)
    turn("warm-up")
    Instance.objects.all().delete()


def has(cost: Cost, commits: int, statements: int, *, postgres: int | None = None) -> None:
    """`postgres`: how many statements it takes there, where those that are independent are one, and rows are locked."""
    wanted = postgres if postgres is not None and sql.is_postgres() else statements
    assert cost.both == (commits, wanted), str(cost)


def test_a_start_costs_one_commit() -> None:
    """Its facts, its schedule, its first message."""
    with count_cost() as cost:
        DurableClient().start_new("plain", client_input=list(range(100)))
    has(cost, 1, 3, postgres=1)


def test_starts_cost_one_commit_whatever_their_number() -> None:
    """And so for those whose ids others have."""
    requests = [StartRequest("plain", f"i{number}", number) for number in range(1000)]
    with count_cost() as cost:
        DurableClient().start_many(requests)
    has(cost, 1, 3, postgres=1)
    with count_cost() as cost:
        DurableClient().start_many([*requests, StartRequest("plain", "other")], if_exists="return_existing")
    has(cost, 1, 4, postgres=2)


@COUNTS
def test_events_cost_one_commit_whatever_their_number(count: int) -> None:
    """Lock; count what waits; remember their ids; insert; update. PostgreSQL does it all by one statement."""
    ids = DurableClient().start_many([StartRequest("wait_for", client_input=["a"]) for _ in range(count)])
    with count_cost() as cost:
        DurableClient().raise_events([EventRequest(i, "a", 1) for i in ids])
    has(cost, 1, 4, postgres=1)
    with count_cost() as cost:
        DurableClient().raise_events([EventRequest(i, "a", 1, "x") for i in ids])
    has(cost, 1, 5, postgres=1)
    with count_cost() as cost, transaction.atomic():  # on SQLite a savepoint is set and released
        DurableClient().raise_events([EventRequest(i, "b", 1) for i in ids])
    has(cost, 1, 6, postgres=1)


@COUNTS
def test_a_claim_costs_one_commit_and_three_statements(count: int) -> None:
    """SQLite: is there anything; take instances with their facts; look at their inboxes. PostgreSQL: take instances and
    activities; read the facts and inboxes of what was taken, for they may have changed before the locks."""
    for _ in range(count):
        start()
    with count_cost() as cost:
        assert len(claim("w").instances) == count
    has(cost, 1, 3, postgres=2)


@COUNTS
def test_a_claim_of_activities_costs_one_commit_and_two_statements(count: int) -> None:
    start("fan_out", count)
    turn("w", share=False, keep=False)
    with count_cost() as cost:
        assert len(claim("w").activities) == count
    has(cost, 1, 2, postgres=1)


def test_a_process_asks_for_the_name_of_a_hub_once_however_many_instances_it_claims_or_starts() -> None:
    DurableClient().start_many([StartRequest("plain") for _ in range(50)])
    hubs.forget()
    with count_cost() as cost:
        assert len(claim("w").instances) == 50
    assert sum(TaskHub._meta.db_table in text for text in cost.texts) == 1
    hubs.forget()
    with count_cost() as cost, transaction.atomic():
        DurableClient().start_many([StartRequest("plain") for _ in range(50)])
    assert sum(TaskHub._meta.db_table in text for text in cost.texts) <= 4


def test_a_claim_that_finds_nothing_writes_nothing() -> None:
    """On SQLite it does not even begin a transaction, which would keep others from writing. The statement of PostgreSQL
    could write, but takes no number of a transaction, as whatever writes does."""
    before = _transactions()
    with count_cost() as cost:
        claim("w")
    has(cost, 0, 1)
    for _ in range(20):
        claim("w")
    assert _transactions() - before < 20  # the database may have business of its own


def _transactions() -> int:
    return int(sql.fetch("SELECT pg_snapshot_xmax(pg_current_snapshot())::text", [])[0][0]) if sql.is_postgres() else 0


@COUNTS
def test_loading_histories_costs_one_statement(count: int) -> None:
    for _ in range(count):
        start()
    found = claim("w").instances
    with count_cost() as cost:
        histories.load(found)
    has(cost, 0, 1)


@COUNTS
@pytest.mark.parametrize("width", [1, 100])
@KINDS
def test_committing_turns_costs_one_commit_whatever_their_number_and_width(
    count: int, width: int, share: Share, rows: int
) -> None:
    """Update; consume; append; facts, for it begins; insert activities, if they are rows. PostgreSQL does it all by one
    statement."""
    if count * width > 1000:
        count = 10
    for _ in range(count):
        start("fan_out", width)
    plans = plan(hold(claim("w").instances), share=share)
    with count_cost() as cost:
        answers = commit(plans)
    assert sum(len(a.share) for a in answers) == count * width
    assert ActivityTask.objects.count() == count * width * rows
    has(cost, 1, 4 + rows, postgres=1)


@COUNTS
@KINDS
def test_committing_own_results_costs_one_commit_whatever_their_number(count: int, share: Share, rows: int) -> None:
    """Update; settle, if they are rows; append; facts and payload, for it ends."""
    plans = plan_results(count, share=share)
    with count_cost() as cost:
        commit(plans)
    assert set(Instance.objects.values_list("status", flat=True)) == {"Completed"}
    assert not ActivityTask.objects.exists()
    has(cost, 1, 4 + rows, postgres=1)


@pytest.mark.parametrize("length", [10, 1000])
@KINDS
def test_a_turn_costs_the_same_after_ten_events_as_after_a_thousand(length: int, share: Share, rows: int) -> None:
    """With the live body at hand nothing is read: update; append; if they are rows, settle and insert the next one."""
    plans = plan_results(1, name="sequence", client_input=5, share=share)
    (one,) = plans
    pad_history(one.key, one.held.row.execution, one.held.row.position, length)
    one.held.row.position = length
    with count_cost() as cost:
        commit(plans)
    has(cost, 1, 2 + 2 * rows, postgres=1)
    reads = [s for s in cost.texts if HISTORY in s and f"INSERT INTO {HISTORY}" not in s]
    assert reads == []


@COUNTS
def test_settling_results_of_others_costs_one_commit_and_four_statements(count: int) -> None:
    """Lock; settle; insert messages; lower `due_at`."""
    start("fan_out", count)
    turn("w", share=False, keep=False)
    results = [result_of(a) for a in claim("w").activities]
    with count_cost() as cost:
        assert activities.settle(results, "w") == count
    has(cost, 1, 4)


@COUNTS
def test_starting_children_and_sending_to_others_costs_the_same_for_many(count: int) -> None:
    """As a commit that consumes, without activities, with children: their facts, schedules and first messages."""
    start("parent", ["a"] * count)
    plans = plan(hold(claim("w").instances))
    with count_cost() as cost:
        commit(plans)
    assert Instance.objects.exclude(parent=None).count() == count
    has(cost, 1, 8, postgres=5)


@COUNTS
def test_outcomes_of_children_cost_the_same_for_many(count: int) -> None:
    start("parent", ["a"] * count)
    drain()
    for child in Instance.objects.exclude(parent=None):
        DurableClient().raise_event(child.instance_id, "a", 1)
    plans = plan(hold(claim("w").instances))
    with count_cost() as cost:
        commit(plans)
    assert Instance.objects.filter(status="Completed").count() == count
    has(cost, 1, 9, postgres=6)


@COUNTS
def test_giving_leases_back_costs_one_commit(count: int) -> None:
    """Lock; look, for `due_at` must say what waits; update."""
    for _ in range(count):
        start()
    held = claim("w").instances
    with count_cost() as cost:
        assert leases.release(held, clock.now()) == count
    has(cost, 1, 3)


def test_the_classic_costs_5_commits_and_few_statements_from_start_to_end(settings: Any) -> None:
    """One idle start to finish: start, claim, three turns, and the claim that finds nothing more."""
    settings.DURABLE_CLAIM_SECONDS = 5.0  # on a slow machine it would claim for others in between
    with count_cost() as cost:
        instance_id = DurableClient().start_new("E1_HelloSequence")
        burst_once()
    assert status_of(instance_id) is Status.COMPLETED
    replays = 2 if conf.ALWAYS_REPLAY else 0
    has(cost, 5, 17 + replays, postgres=7 + replays)


def test_a_hundred_classics_in_one_burst_cost_as_many_statements_as_one(settings: Any) -> None:
    settings.DURABLE_CLAIM_SECONDS = settings.DURABLE_BURST_SECONDS = 5.0
    if conf.ALWAYS_REPLAY:
        pytest.skip("claims take one instance each then")
    costs = []
    for count in (1, 100):
        ids = [DurableClient().start_new("E1_HelloSequence") for _ in range(count)]
        worker = new_worker()
        for _ in range(20):
            worker.pace.note("E1_SayHello", 0.0)  # it is known to be quick
        with count_cost() as cost:
            drain(worker)
        worker.close()
        assert {status_of(i) for i in ids} == {Status.COMPLETED}
        costs.append(cost)
    assert costs[1].commits <= costs[0].commits + 1, str(costs[1])
    assert costs[1].statements <= costs[0].statements + 8, str(costs[1])


def plan_results(
    count: int, name: str = "call", client_input: object = "echo", share: Share = Share.OWED
) -> list[TurnCommit]:
    """Return the plans of turns that take the result of an own activity each."""
    for _ in range(count):
        start(name, client_input)
    answers = turn("w", share=share)
    found = []
    for answer in answers:
        assert answer.held is not None
        found.append((answer.held, [result_of(a) for a in answer.share]))
    return plan(hold([c for c, _ in found], [r for _, results in found for r in results]), share=share)


def pad_history(pk: int, execution: str, start_at: int, length: int) -> None:
    """Make the stored history so long."""
    event = {"EventType": "EventRaised", "EventId": -1, "Timestamp": "2026-01-01T00:00:00Z", "Name": "x"}
    append(pk, execution, start_at, [event] * (length - start_at))
