"""The one table of statuses as people see them: slug (for CSS), label, icon. `tokens.css` has colours for each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrations.client.status import InstanceSummary, Wait
from orchestrations.control.permissions import is_approval
from orchestrations.engine.state import Status


@dataclass(frozen=True, slots=True)
class Badge:
    """A status as shown: never by colour alone."""

    slug: str
    label: str
    icon: str
    is_final: bool = False


BADGES = {
    "Pending": Badge("pending", "Pending", "circle-dashed"),
    "Running": Badge("running", "Running", "player-play"),
    "Waiting": Badge("waiting", "Waiting", "hourglass"),
    "Retrying": Badge("retrying", "Retrying", "refresh"),
    "Suspended": Badge("suspended", "Suspended", "player-pause"),
    "Completed": Badge("completed", "Completed", "circle-check", is_final=True),
    "ContinuedAsNew": Badge("continued", "ContinuedAsNew", "repeat", is_final=True),
    "Failed": Badge("failed", "Failed", "alert-octagon", is_final=True),
    "Terminated": Badge("terminated", "Terminated", "player-stop", is_final=True),
    "Canceled": Badge("canceled", "Canceled", "ban", is_final=True),
    "Stuck": Badge("stuck", "Stuck", "alert-triangle"),
}
WAIT_ICONS = {"event": "bell", "approval": "user-question", "timer": "hourglass"}
# Of several waits, the one that decides is told: what a person can do something about comes first.
ORDER = ("approval", "event", "retry", "timer", "sub-orchestration", "activity")


def badge(name: str) -> Badge:
    """Return a status' badge; an unknown one is a plain one with its raw name."""
    return BADGES.get(name) or Badge("unknown", name, "circle-dotted")


def derive(instance: InstanceSummary) -> Badge:
    """Return what an instance's status means now: a running one may be waiting, retrying or stuck."""
    if instance.blocked:
        return BADGES["Stuck"]
    if instance.status != Status.RUNNING or not instance.waiting:
        return badge(instance.status.value)
    kinds = {kind_of(wait) for wait in instance.waiting}
    if kinds & {"activity", "sub-orchestration"}:
        return BADGES["Running"]
    if "retry" in kinds:
        return BADGES["Retrying"]
    return replace(BADGES["Waiting"], icon=WAIT_ICONS.get(kind_of(deciding(instance.waiting)), "hourglass"))


def deciding(waits: tuple[Wait, ...]) -> Wait:
    """Return the wait that is worth a sentence."""
    return min(waits, key=rank)


def rank(wait: Wait) -> int:
    """Return a wait's place among others: what a person can do something about comes first."""
    kind = kind_of(wait)
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def kind_of(wait: Wait) -> str:
    """Return a wait's kind, where an event that is a decision is an `approval`."""
    return "approval" if wait.kind == "event" and is_approval(wait.name) else wait.kind
