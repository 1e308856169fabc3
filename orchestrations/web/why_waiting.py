"""Why is it waiting: one sentence, as parts. Instants are values that browsers turn into ages. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from orchestrations.client.status import InstanceSummary, Wait
from orchestrations.engine.state import Status
from orchestrations.web.payloads import one_line, visible
from orchestrations.web.statuses import deciding, kind_of, rank

BLOCKED = {
    "nondeterminism": "its code no longer matches its history",
    "missing-function": "no worker knows its function",
    "no-worker": "no worker serves its queue",
    "lost-turns": "workers died again and again while it ran",
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
    """Return the sentence: why it waits, or how it ended; nothing where it ended well or simply runs."""
    if instance.blocked:
        return _stuck(instance)
    if instance.status.is_terminal:
        why = one_line(instance.failure_line or instance.status_reason)
        return (Part("text", why),) if why else ()
    if instance.status == Status.SUSPENDED:
        reason = (Part("text", f": {one_line(instance.status_reason)}"),) if instance.status_reason else ()
        return (Part("text", "Suspended "), Part("ago", at=instance.updated_at), *reason)
    if instance.status == Status.PENDING:
        return (Part("text", "Ready for a worker "), Part("ago", at=instance.created_at))
    if not instance.waiting:
        return ()
    wait = deciding(instance.waiting)
    others = [other for other in instance.waiting if other is not wait]
    deadline = _deadline(wait, others)
    more = sum(map(multitude, others)) - bool(deadline)
    tail = (Part("more", f"+ {more:,} more"),) if more else ()
    return _sentence(wait) + deadline + tail


def explain_all(instance: InstanceSummary) -> tuple[tuple[Part, ...], ...]:
    """Return a sentence for each thing that a live instance waits for, equal ones as one, what decides first."""
    if instance.status.is_terminal:
        return ()
    groups: dict[tuple[str, str, datetime | None], list[Wait]] = {}
    for wait in sorted(instance.waiting, key=rank):
        groups.setdefault((wait.kind, wait.name, wait.until), []).append(wait)
    return tuple(_sentence(_as_one(waits)) for waits in groups.values())


def multitude(wait: Wait) -> int:
    """Return for how many waits this one stands. (The count of a retry is the number of its attempt.)"""
    return 1 if wait.kind == "retry" else wait.count


def _as_one(waits: list[Wait]) -> Wait:
    first = waits[0]
    since = min((wait.since for wait in waits if wait.since), default=None)
    return first if len(waits) == 1 else replace(first, count=sum(map(multitude, waits)), since=since)


def _sentence(wait: Wait) -> tuple[Part, ...]:
    return _WAITS.get(kind_of(wait), _other)(wait)


def _deadline(wait: Wait, others: list[Wait]) -> tuple[Part, ...]:
    """What a person is asked to do has a deadline in a timer beside it, as a rule."""
    if wait.kind != "event" or wait.until:
        return ()
    instants = [other.until for other in others if other.kind == "timer" and other.until]
    return (Part("text", ", timer "), Part("until", at=min(instants))) if instants else ()


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
    return (Part("text", f"Stuck: {why}, "), Part("since", at=blocked.since))


def _activity(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Activity "), Part("name", visible(wait.name)), *_times(wait), *_ago(wait))


def _child(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Child "), Part("name", visible(wait.name)), *_times(wait), *_ago(wait))


def _timer(wait: Wait) -> tuple[Part, ...]:
    due = (Part("text", ", fires "), Part("until", at=wait.until)) if wait.until else ()
    return (Part("text", "Timer"), *_times(wait), *due)


def _event(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Event "), Part("name", visible(wait.name)), *_times(wait), *_ago(wait), *_due(wait))


def _approval(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", "Decision "), Part("name", visible(wait.name)), *_times(wait), *_ago(wait), *_due(wait))


def _retry(wait: Wait) -> tuple[Part, ...]:
    attempt = (Part("text", f", attempt {wait.count:,}"),) if wait.count > 1 else ()
    return (Part("text", "Retry of "), Part("name", visible(wait.name)), *_next(wait), *attempt)


def _more(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", f"and {wait.count:,} more"),)


def _times(wait: Wait) -> tuple[Part, ...]:
    return (Part("text", f" × {wait.count:,}"),) if wait.count > 1 else ()


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
    "more": _more,
}
