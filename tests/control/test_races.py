"""Two approvers at the same moment, each with a connection of his own."""

from __future__ import annotations

import threading

from django.db import connection

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.control.actors import Actor
from orchestrations.control.decisions import Outcome, list_open
from orchestrations.control.operations import Operations
from orchestrations.errors import AlreadyDecidedError
from orchestrations.store.models import AuditEntry, InboxMessage
from tests.bursts import drain
from tests.people import HUB, make_actor

ROUNDS = 5
APPROVERS = 4


def test_two_approvers_at_once_one_decision() -> None:
    actors = [make_actor(f"approver-{number}", "approver") for number in range(APPROVERS)]
    for _ in range(ROUNDS):
        instance_id = DurableClient().start_new("E4_Approval")
        drain()
        (decision_id, _), *_ = list_open(queries.get_instance(HUB, instance_id))
        before = AuditEntry.objects.filter(result="done").count()
        winners, losers = _at_once(actors, instance_id, decision_id)
        assert len(winners) == 1, losers
        assert len(losers) == APPROVERS - 1
        assert all(f"by {winners[0]} at" in text for text in losers)
        assert InboxMessage.objects.filter(kind="EventRaised").count() == 1
        assert AuditEntry.objects.filter(result="done").count() == before + 1
        drain()
        output = DurableClient().get_status(instance_id).output
        assert output["by"] == winners[0]


def _at_once(actors: list[Actor], instance_id: str, decision_id: str) -> tuple[list[str], list[str]]:
    gate = threading.Barrier(len(actors))
    winners: list[str] = []
    losers: list[str] = []

    def decide(actor: Actor) -> None:
        try:
            gate.wait()
            Operations(actor, HUB).decide(instance_id, decision_id, Outcome.APPROVED, "fine")
            winners.append(actor.name)
        except AlreadyDecidedError as error:
            losers.append(error.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[actor]) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return winners, losers
