"""The sub-orchestrations that a batch of plans creates."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrations.engine.events import (
    ParentInstance,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
)
from orchestrations.engine.failures import FailureDetails
from orchestrations.engine.state import Status
from orchestrations.errors import InstanceExistsError, LimitExceededError
from orchestrations.store import births, families, instances
from orchestrations.store.batch import TurnCommit
from orchestrations.store.births import NewInstance
from orchestrations.store.inbox import NewMessage, Target
from orchestrations.store.models import Gate
from orchestrations.store.recipients import Recipients
from orchestrations.store.signals import announce_work

DEPTH_LIMIT = 32
Wanted = tuple[TurnCommit, SubOrchestrationInstanceCreated]


def create(commits: Sequence[TurnCommit], recipients: Recipients) -> list[NewMessage]:
    """Create the plans' sub-orchestrations; return the messages that tell of those that cannot be.

    An ended instance with the id is replaced. An id that a live instance has, or that was asked for before, in this
    batch too, fails the later task (SUB-2). What was created can be written to in the same commit.
    """
    refusals: list[NewMessage] = []
    accepted: dict[tuple[int, str], Wanted] = {}
    replaced: list[int] = []
    for c, event in ((one, child) for one in commits if one.plan for child in one.plan.children):
        key = (c.held.hub_id, event.instance_id)
        target = recipients.find(*key)
        if c.held.depth >= DEPTH_LIMIT:
            refusals.append(_refusal(c, event, _too_deep()))
        elif key in accepted:
            refusals.append(_refusal(c, event, InstanceExistsError(event.instance_id, Status.PENDING)))
        elif target is not None and target.is_live:
            refusals.append(_refusal(c, event, InstanceExistsError(event.instance_id, recipients.status_of(*key))))
        else:
            accepted[key] = c, event
            if target is not None:
                replaced.append(target.id)
    if replaced:
        instances.remove(replaced)
    if accepted:
        refusals += _insert(accepted, recipients)
    return refusals


def _insert(accepted: dict[tuple[int, str], Wanted], recipients: Recipients) -> list[NewMessage]:
    news = {key: _new(c, event) for key, (c, event) in accepted.items()}
    created = births.insert_all(list(news.values()))
    counts: dict[str, int] = {}
    for key, pk in created.items():
        new = news[key]
        recipients.add(*key, Target(pk, Gate.HELD, new.queue, "", 0, new.execution, new.due_at))
        counts[new.queue] = counts.get(new.queue, 0) + 1
    for queue, count in counts.items():
        announce_work(queue, items=count)
    return [
        _refusal(c, event, InstanceExistsError(event.instance_id, Status.PENDING))  # somebody was first just now
        for key, (c, event) in accepted.items()
        if key not in created
    ]


def _new(c: TurnCommit, event: SubOrchestrationInstanceCreated) -> NewInstance:
    parent = ParentInstance(
        name=c.held.facts.name,
        instance_id=c.held.facts.instance_id,
        execution_id=c.held.facts.execution_id,
        task_schedule_id=event.event_id,
        attempt=event.attempt or 1,
    )
    return NewInstance(
        hub_id=c.held.hub_id,
        instance_id=event.instance_id,
        name=event.name,
        queue=c.held.row.queue,
        created_at=event.timestamp,
        version=event.version,
        input=event.input,
        parent_pk=c.key,
        parent=parent,
        depth=c.held.depth + 1,
    )


def _refusal(c: TurnCommit, event: SubOrchestrationInstanceCreated, error: Exception) -> NewMessage:
    details = FailureDetails.from_exception(error)
    failed = SubOrchestrationInstanceFailed(
        timestamp=event.timestamp,
        task_scheduled_id=event.event_id,
        reason=details.message,
        failure_details=FailureDetails(details.error_type, details.message, is_non_retriable=True),
        attempt=event.attempt,
    )
    return families.outcome(c.key, c.held.facts.execution_id, failed)


def _too_deep() -> Exception:
    text = f"The depth of sub-orchestrations is {DEPTH_LIMIT + 1}, the limit is {DEPTH_LIMIT}. Use continue_as_new."
    return LimitExceededError(text, code="limit.depth", size=DEPTH_LIMIT + 1, limit=DEPTH_LIMIT)
