"""Why is it waiting: one sentence, as parts. Instants are values that browsers turn into ages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrations.client.status import InstanceSummary, Wait
from orchestrations.engine.state import Status
from orchestrations.web.payloads import visible
from orchestrations.web.statuses import deciding, kind_of

BLOCKED = {
    "nondeterminism": "its code no longer matches its history",
    "missing-function": "no worker knows its function",
    "fan-out-limit": "it asks for too much at once",
    "history-limit": "its history has reached the limit",
    "payload": "a stored value cannot be read",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence: `text`, `name` (set in bold), `ago` or `until` (an instant)."""

    kind: str
    text: str = ""
    at: datetime | None = None


def explain(instance: InstanceSummary) -> tuple[Part, ...]:
    """Return the sentence, or nothing where an instance has ended or simply runs."""
    if instance.blocked:
        return _stuck(instance)
    if instance.status.is_terminal:
        return ()
    if instance.status == Status.SUSPENDED:
        return (Part("text", "Suspended "), Part("ago", at=instance.updated_at))
    if instance.status == Status.PENDING:
        return (Part("text", "Ready for a worker "), Part("ago", at=instance.created_at))
    if not instance.waiting:
        return ()
    wait = deciding(instance.waiting)
    more = sum(w.count for w in instance.waiting) - (wait.count if wait.count > 1 else 1)
    tail = (Part("more", f"+ {more} more"),) if more > 0 else ()
    return _WAITS.get(kind_of(wait), _other)(wait) + tail


def plain(parts: tuple[Part, ...]) -> str:
    """Return the sentence as text, with instants in full: for titles and labels."""
    return "".join(
        p.text if p.at is None else f"{'since ' * (p.kind == 'since')}{p.at:%Y-%m-%d %H:%M:%S} UTC" for p in parts
    )


def _stuck(instance: InstanceSummary) -> tuple[Part, ...]:
    blocked = instance.blocked
    if blocked is None:
        return ()
    reason = blocked.reason.removeprefix("blocked:")
    why = BLOCKED.get(reason, visible(reason))
    return (Part("text", f"Parked: {why}, "), Part("ago", at=blocked.since))


def _activity(wait: Wait) -> tuple[Part, ...]:
    times = f" × {wait.count:,}" if wait.count > 1 else ""
    return (Part("text", "Activity "), Part("name", visible(wait.name)), Part("text", times), *_ago(wait))


def _child(wait: Wait) -> tuple[Part, ...]:
    times = f" × {wait.count:,}" if wait.count > 1 else ""
    return (Part("text", "Child "), Part("name", visible(wait.name)), Part("text", times), *_ago(wait))


def _timer(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Timer, fires "), Part("until", at=wait.until)) if wait.until else (Part("text", "Timer"),)


def _event(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Event "), Part("name", visible(wait.name)), *_ago(wait), *_due(wait))


def _approval(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Decision "), Part("name", visible(wait.name)), *_ago(wait), *_due(wait))


def _retry(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Retry of "), Part("name", visible(wait.name)), *_next(wait))


def _other(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", f"{visible(wait.kind)} "), Part("name", visible(wait.name)), *_ago(wait))


def _ago(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", " "), Part("since", at=wait.since)) if wait.since else ()


def _due(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", ", due "), Part("until", at=wait.until)) if wait.until else ()


def _next(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", " "), Part("until", at=wait.until)) if wait.until else ()


_WAITS = {
    "activity": _activity,
    "sub-orchestration": _child,
    "timer": _timer,
    "event": _event,
    "approval": _approval,
    "retry": _retry,
}
