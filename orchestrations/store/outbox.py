"""The messages that a plan sends, in the order in which their receivers take them (EVT-6)."""

from __future__ import annotations

from orchestrations.engine.events import EventRaised, TimerFired
from orchestrations.store import families
from orchestrations.store.batch import TurnCommit
from orchestrations.store.inbox import NewMessage
from orchestrations.store.recipients import Recipients


def messages_of(c: TurnCommit, recipients: Recipients, undelivered: list[str]) -> list[NewMessage]:
    """Return the plan's messages: to itself, then what the code sent, in its order, and the outcome last of all.

    Ids of receivers that take no event, because there is none or it has ended, are added to `undelivered`.
    """
    found = [*timers_of(c), *_next_execution(c), *_events(c, recipients, undelivered), *_terminations(c, recipients)]
    return [*found, *_outcome(c, recipients)]


def timer_sender(execution: str, attempt: int = 1) -> str:
    """Return the sender of an execution's timers; their sequence numbers are the timers'."""
    return f"timer/{execution}/{attempt}"


def timers_of(c: TurnCommit) -> list[NewMessage]:
    """Return the timers that the plan sets: messages to itself."""
    assert c.plan is not None
    execution, withdrawn = c.held.facts.execution_id, set(c.plan.withdrawn_timers)
    found = []
    for t in c.plan.timers:
        if t.event_id in withdrawn and t.origin != "retry":
            continue
        fired = TimerFired(timestamp=t.fire_at, timer_id=t.event_id, fire_at=t.fire_at, attempt=t.attempt)
        sender = timer_sender(execution, t.attempt or 1)
        found.append(NewMessage(c.key, fired, sender, t.event_id, execution, not_before=t.fire_at))
    return found


def _next_execution(c: TurnCommit) -> list[NewMessage]:
    """The start of the next execution, and events that this one has taken from the inbox and not used: each goes back
    to the place that it had."""
    assert c.plan is not None
    execution = c.plan.next_execution or ""
    found = []
    for place, event in enumerate(c.plan.next_messages):
        if isinstance(event, EventRaised):
            found.append(NewMessage(c.key, event, f"next/{execution}", place, id=event.message_id))
        else:
            found.append(NewMessage(c.key, event, f"start/{execution}", execution=execution))
    return found


def _events(c: TurnCommit, recipients: Recipients, undelivered: list[str]) -> list[NewMessage]:
    assert c.plan is not None
    sender = f"instance/{c.key}/{c.held.facts.execution_id}"
    found = []
    for event in c.plan.sends:
        target = recipients.find(c.held.hub_id, event.instance_id)
        if target is not None and target.takes(""):
            raised = EventRaised(timestamp=c.plan.now, name=event.name, input=event.input)
            found.append(NewMessage(target.id, raised, sender, event.event_id))
        else:
            undelivered.append(event.instance_id)
    return found


def _terminations(c: TurnCommit, recipients: Recipients) -> list[NewMessage]:
    assert c.plan is not None
    if c.plan.ends_children is None:
        return []
    below = [recipients.targets[key] for key in recipients.below.get(c.key, ()) if key in recipients.targets]
    return [families.termination(t.id, c.key, c.plan.ends_children, c.plan.now) for t in below if t.is_live]


def _outcome(c: TurnCommit, recipients: Recipients) -> list[NewMessage]:
    assert c.plan is not None
    parent = recipients.targets.get(c.held.parent) if c.held.parent else None
    if c.plan.outcome is None or parent is None or not parent.takes(c.held.parent_execution):
        return []
    return [families.outcome(parent.id, c.held.parent_execution, c.plan.outcome)]
