"""Frozen values that leave this layer. Texts named `…_json` are canonical JSON as stored; None means absent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrations.engine.state import Status


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that an instance waits for.

    `kind` is `activity`, `sub-orchestration`, `timer`, `event` or `retry`; `name` is the function's or event's name;
    `until` the instant of a timer, of a back-off, or the time-out of an event. `ordinal` of an event's wait: which wait
    of its execution the next event of that name goes to. The kind `more` stands for `count` others.
    """

    kind: str
    name: str = ""
    sequence: int | None = None
    until: datetime | None = None
    since: datetime | None = None
    count: int = 1
    ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why an instance does not move although its status is live (NDT-5, NDT-8): it is parked, or its activity waits."""

    reason: str
    message: str
    since: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """Details of a failure (FAIL-2)."""

    error_type: str
    message: str
    stack_trace: str = ""
    inner: Failure | None = None
    is_non_retriable: bool = False


@dataclass(frozen=True, slots=True)
class InstanceSummary:
    """A row of the list: no payloads but the custom status.

    `status_reason` is why it was suspended or terminated; `failure_line` the type and the message of its failure, cut;
    `is_deferred` tells that `blocked` is for want of a worker that knows its activity, not of the instance's own code.
    """

    instance_id: str
    name: str
    version: str | None
    status: Status
    revision: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    custom_status_json: str | None
    blocked: Blocked | None
    waiting: tuple[Wait, ...]
    parent_instance_id: str | None
    tags: dict[str, str] = field(default_factory=dict)
    status_reason: str = ""
    failure_line: str = ""
    is_deferred: bool = False


@dataclass(frozen=True, slots=True)
class InstanceFacts(InstanceSummary):
    """One instance without its payloads and its history."""

    execution_id: str = ""
    history_length: int = 0


@dataclass(frozen=True, slots=True)
class InstanceDetail(InstanceFacts):
    """One instance with its payloads, without its history."""

    input_json: str | None = None
    output_json: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class InstanceVersion:
    """What changes whenever anything of an instance does: its execution, revision, status and length of history.

    `is_deferred` tells whether it waits for an activity that no worker knows: that gives it no revision.
    """

    execution_id: str
    history_length: int
    revision: int
    status: Status
    is_deferred: bool = False


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A history event as stored: the wire's members in the wire's order, as a dictionary."""

    sequence: int
    kind: str
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some events of one execution, in order. `total` counts all of them."""

    execution_id: str
    rows: tuple[HistoryRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class InstancePage:
    """Some instances, newest first. `token` continues after the last one; empty at the end (QRY-3)."""

    rows: tuple[InstanceSummary, ...]
    token: str


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """Instances by status; `at_least` holds the statuses whose number was cut at the bound (QRY-4)."""

    counts: dict[Status, int]
    at_least: frozenset[Status]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class ChildSummary:
    """A sub-orchestration of an instance."""

    instance_id: str
    name: str
    status: Status


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to an instance."""

    at: datetime
    actor: str
    action: str
    instance_id: str
    reason: str
    result: str


@dataclass(frozen=True, slots=True)
class Health:
    """What readiness is made of. Ages are seconds by the database's clock; None: never."""

    workers: int
    sweep_age_seconds: float | None


@dataclass(slots=True)
class OrchestrationStatus:
    """What `get_status` answers, under the names of Azure's Python package. Falsy if there is no such instance (QRY-1).

    `input_`, `output` and `custom_status` are decoded values.
    """

    instance_id: str
    name: str = ""
    version: str | None = None
    runtime_status: Status | None = None
    created_time: datetime | None = None
    last_updated_time: datetime | None = None
    completed_time: datetime | None = None
    input_: Any = None
    output: Any = None
    custom_status: Any = None
    failure: Failure | None = None
    parent_instance_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    blocked: Blocked | None = None
    history: list[dict[str, Any]] | None = None

    def __bool__(self) -> bool:
        return self.runtime_status is not None
