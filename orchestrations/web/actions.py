"""What an actor may do to an instance, with the reason where he may not. Its status' template shows the buttons."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from orchestrations.client.status import InstanceFacts
from orchestrations.control.actors import Actor
from orchestrations.control.decisions import list_open
from orchestrations.control.permissions import Permission, can, is_approval, roles_with
from orchestrations.web.payloads import visible
from orchestrations.web.presenters.rows import instance_url
from orchestrations.web.statuses import badge


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision that the instance asks for."""

    id: str
    dom: str
    event_name: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ActionsView:
    """The actions of one instance for one actor. `why_not` texts are empty where the actor may."""

    instance_id: str
    status: str
    template: str
    revision: int
    token: str
    event_name: str
    decisions: tuple[DecisionView, ...]
    why_no_event: str
    why_no_control: str
    why_no_termination: str
    why_no_decision: str
    event_url: str
    suspension_url: str
    termination_url: str
    termination_form_url: str
    decision_url: str


def present(hub: str, instance: InstanceFacts, actor: Actor) -> ActionsView:
    """Return the actions as of the instance's present state."""
    slug = badge(instance.status.value).slug
    awaited = [w.name for w in instance.waiting if w.kind == "event" and not is_approval(w.name)]
    urls = {
        noun: instance_url(hub, instance.instance_id, f"instance-{noun}")
        for noun in ("event-create", "suspension", "termination-create", "termination-new", "decision-create")
    }
    return ActionsView(
        instance_id=instance.instance_id,
        status=instance.status.value,
        template=f"orchestrations/instances/actions/{slug}.html",
        revision=instance.revision,
        token=uuid.uuid4().hex,
        event_name=awaited[0] if awaited else "",
        decisions=_decisions(instance),
        why_no_event=why_not(actor, Permission.EVENTS_WRITE, hub),
        why_no_control=why_not(actor, Permission.INSTANCES_CONTROL, hub),
        why_no_termination=why_not(actor, Permission.INSTANCES_TERMINATE, hub),
        why_no_decision=why_not(actor, Permission.APPROVALS_DECIDE, hub),
        event_url=urls["event-create"],
        suspension_url=urls["suspension"],
        termination_url=urls["termination-create"],
        termination_form_url=urls["termination-new"],
        decision_url=urls["decision-create"],
    )


def why_not(actor: Actor, permission: Permission, hub: str) -> str:
    """Return why the actor may not do this, or nothing if he may."""
    if can(actor, permission, hub):
        return ""
    return f"Needs the role {' or '.join(role.value for role in roles_with(permission))}."


def _decisions(instance: InstanceFacts) -> tuple[DecisionView, ...]:
    return tuple(
        DecisionView(key, f"decision-{key.rpartition('/')[2]}", visible(wait.name), wait.since, wait.until)
        for key, wait in list_open(instance)
    )
