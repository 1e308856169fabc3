"""History events as rows of a table. An unknown kind is a plain row with its raw name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrations.client.status import HistoryRow
from orchestrations.web.payloads import one_line, visible

CHUNK = 200
EXECUTION_DIGITS = 8
ROW_HEIGHT = 32

# kind → (icon, what it says, tone)
KINDS: Mapping[str, tuple[str, str, str]] = {
    "ExecutionStarted": ("flag", "Started", "start"),
    "OrchestratorStarted": ("arrow-bar-to-right", "Turn began", "turn"),
    "OrchestratorCompleted": ("arrow-bar-right", "Turn ended", "turn"),
    "TaskScheduled": ("bolt", "Activity scheduled", ""),
    "TaskCompleted": ("bolt", "Activity completed", "good"),
    "TaskFailed": ("bolt", "Activity failed", "bad"),
    "TimerCreated": ("alarm", "Timer created", ""),
    "TimerFired": ("alarm", "Timer fired", "good"),
    "SubOrchestrationInstanceCreated": ("sitemap", "Child started", ""),
    "SubOrchestrationInstanceCompleted": ("sitemap", "Child completed", "good"),
    "SubOrchestrationInstanceFailed": ("sitemap", "Child failed", "bad"),
    "EventRaised": ("bell", "Event received", "good"),
    "EventSent": ("send", "Event sent", ""),
    "ExecutionSuspended": ("player-pause", "Suspended", "hold"),
    "ExecutionResumed": ("player-play", "Resumed", ""),
    "ExecutionTerminated": ("player-stop", "Terminated", "bad"),
    "ExecutionRewound": ("arrow-back-up", "Rewound", "hold"),
    "ContinueAsNew": ("repeat", "Continued as new", ""),
    "ExecutionCompleted": ("flag-check", "Ended", "end"),
}
# Where an event answers an earlier one: the member that holds the earlier one's EventId.
ANSWERS = {
    "TaskCompleted": "TaskScheduledId",
    "TaskFailed": "TaskScheduledId",
    "SubOrchestrationInstanceCompleted": "TaskScheduledId",
    "SubOrchestrationInstanceFailed": "TaskScheduledId",
    "TimerFired": "TimerId",
}
DETAILS = ("Result", "Reason", "Input", "Details", "Data")


@dataclass(frozen=True, slots=True)
class EventView:
    """A row of the history."""

    sequence: int
    kind: str
    icon: str
    label: str
    tone: str
    at: datetime | None
    at_text: str
    name: str
    details: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 200 consecutive events; `rows` is None where they are not loaded and only their place is kept."""

    start: int
    end: int
    url: str
    execution: str
    rows: tuple[EventView, ...] | None = None

    @property
    def key(self) -> str:
        """Its DOM id: another execution's chunks are others, and none of the last one's may stay."""
        return f"history-{self.execution}-{self.start}"

    @property
    def is_full(self) -> bool:
        return self.end - self.start == CHUNK

    @property
    def height(self) -> int:
        return ROW_HEIGHT * (self.end - self.start)


def present(rows: Sequence[HistoryRow], earlier: Mapping[int, str] | None = None) -> tuple[EventView, ...]:
    """Return rows for the events; completions take their name from what they answer, in `rows` or in `earlier`."""
    names = dict(earlier or {})
    for row in rows:
        name, number = _name(row.members), row.members.get("EventId", -1)
        if name and number != -1:  # a retry's timer has the number of its activity, and no name
            names[number] = name
    return tuple(_present(row, names) for row in rows)


def unnamed(rows: Sequence[HistoryRow]) -> frozenset[int]:
    """Return the numbers of what the events answer that is not among them."""
    asked = {row.members.get("EventId") for row in rows if _name(row.members)}
    answered = {row.members.get(ANSWERS[row.kind]) for row in rows if row.kind in ANSWERS and not _name(row.members)}
    return frozenset(number for number in answered - asked if isinstance(number, int))


def chunk_starts(total: int) -> list[int]:
    """Return the sequence numbers at which the chunks of a history begin; there is always one."""
    return list(range(0, max(total, 1), CHUNK))


def instant(text: Any) -> datetime | None:
    """Return the instant of a stored time stamp (seven decimals, of which six are kept), or None."""
    if not isinstance(text, str):
        return None
    head, dot, rest = text.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{head}{dot}{rest[:6]}+00:00" if text.endswith("Z") else text)
    except ValueError:
        return None


def _present(row: HistoryRow, names: Mapping[Any, str]) -> EventView:
    icon, label, tone = KINDS.get(row.kind, ("circle-dotted", visible(row.kind), ""))
    members = row.members
    if row.kind == "ExecutionCompleted":
        label, tone = _ending(members)
    at = instant(members.get("Timestamp"))
    stamp = visible(str(members.get("Timestamp", "")))
    until = instant(members.get("FireAt")) if row.kind == "TimerCreated" else None
    return EventView(row.sequence, row.kind, icon, label, tone, at, stamp, _full_name(row, names), _details(row), until)


def _ending(members: Mapping[str, Any]) -> tuple[str, str]:
    status = members.get("OrchestrationStatus") or members.get("Status") or "Ended"
    return visible(str(status)), {"Completed": "good", "Failed": "bad", "Terminated": "bad"}.get(str(status), "end")


def _name(members: Mapping[str, Any]) -> str:
    return visible(str(members.get("Name") or members.get("InstanceId") or ""))


def _full_name(row: HistoryRow, names: Mapping[Any, str]) -> str:
    answered = row.members.get(ANSWERS.get(row.kind, "EventId" if row.kind == "TimerCreated" else ""))
    name = _name(row.members) or names.get(answered, "")
    attempt = row.members.get("Attempt")
    number = f"#{answered}" if row.kind in ANSWERS and answered is not None and not name else ""
    return f"{name}{number}" + (f" (attempt {attempt})" if isinstance(attempt, int) and attempt > 1 else "")


def _details(row: HistoryRow) -> str:
    failure = row.members.get("FailureDetails")
    if isinstance(failure, dict):
        return visible(f"{failure.get('ErrorType', '')}: {failure.get('ErrorMessage', '')}")[:200]
    for name in DETAILS:
        value = row.members.get(name)
        if value is not None:
            return one_line(value if isinstance(value, str) else str(value))
    return ""
