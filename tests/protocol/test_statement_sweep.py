"""The connection dies at each SQL statement once, the process at each crash point: what all comes to is the same.

Each scenario runs undisturbed, which numbers its sites: every statement that client, burst or sweeper sends (or every
labelled crash point that they pass), and twice each COMMIT, before it and when it has taken effect. Then it runs once
for each site. The turns may fall otherwise; instances, outcomes and what the history tells of them may not, and
nothing may be left over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from orchestrations import ActivityContext, OrchestrationContext, RetryOptions, activity, orchestrator
from orchestrations.engine import encoding
from orchestrations.engine.events import OrchestratorCompleted, OrchestratorStarted
from orchestrations.faults import observed
from tests.functions import Body
from tests.protocol import records
from tests.protocol.processes import Killed
from tests.protocol.shifts import Deed, Shift
from tests.taps import Execute, tapped

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WHO_WRITES = (
    "Timestamp",
    "FireAt",
    "ExecutionId",
    "StackTrace",
    "InstanceId",
    "ParentInstance",
    "OrchestrationInstance",
)
"""Members that may differ from run to run."""


@activity(name="SweepFailsFirst")
def fail_first(context: ActivityContext, value: Any) -> Any:
    if context.attempt == 1:
        raise ConnectionError("not yet")
    return value


@orchestrator(name="SweepRetry")
def retry(context: OrchestrationContext, value: Any) -> Body:
    return (yield context.call_activity("SweepFailsFirst", value, retry=RetryOptions(1, 3)))


@orchestrator(name="SweepTimer")
def wait(context: OrchestrationContext, seconds: float) -> Body:
    """Tell whether the timer kept its time; how late it was is not the same every time."""
    due = context.current_utc_datetime + timedelta(seconds=seconds)
    yield context.create_timer(due)
    return context.current_utc_datetime >= due


def start(name: str, client_input: Any = None) -> Deed:
    """Start the instance `x`; again, if nobody knows whether it was started."""
    return lambda client: client.start_new(name, "x", client_input, if_exists="return_existing")


SCENARIOS: dict[str, list[Deed]] = {
    "sequence": [start("sequence", 2)],
    "fan-out": [start("fan_out", 3)],
    "child": [start("nested", 1)],
    "event": [start("wait_for", ["a"]), lambda client: client.raise_event("x", "a", 1, event_id="1")],
    "timer": [start("SweepTimer", 2.0)],
    "continue-as-new": [start("count_to", {"now": 0, "end": 1})],
    "terminate": [start("parent", ["a", "b"]), lambda client: client.terminate("x", "enough")],
    "retry": [start("SweepRetry", 7)],
}


@dataclass
class Site:
    """Stands at every statement and COMMIT, counts them, and lets the connection die at one of them.

    With `is_death` it stands at every labelled crash point and COMMIT, and the process dies there.
    """

    shift: Shift
    wanted: int | None = None
    is_death: bool = False
    has_struck: bool = False
    labels: list[str] = field(default_factory=list)

    def on_statement(self, execute: Execute, sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        """Lose the connection before the statement, or carry it out."""
        if not self.is_death and self._strikes(" ".join(sql.split())[:100]):
            _drop()
        return execute(sql, parameters, many, context)

    def on_commit(self, real: Callable[[], None]) -> None:
        """Strike before the COMMIT, after it, or carry it out."""
        if self._strikes("before COMMIT"):
            self._end()
        real()
        if self._strikes("after COMMIT"):
            self._end()

    def on_crashpoint(self, label: str) -> None:
        """Die at a labelled point."""
        if self.is_death and self._strikes(label):
            raise Killed(label)

    def _end(self) -> None:
        if not self.is_death:
            _drop()
        connection.rollback()  # the server does so; left alone, SQLite's driver would commit
        raise Killed("COMMIT")

    def _strikes(self, label: str) -> bool:
        if not self.shift.is_acting:
            return False
        self.labels.append(label)
        strikes = len(self.labels) - 1 == self.wanted
        self.has_struck |= strikes
        return strikes


def _drop() -> None:
    """Lose the connection and its transaction; SQLite has no server to lose, there the disk fails."""
    if connection.vendor == "postgresql":
        connection.connection.close()
    else:
        connection.connection.rollback()
    raise OperationalError("the connection was lost on purpose")


def play(deeds: list[Deed], site: Site) -> list[str]:
    """Run a scenario and return what it came to."""
    with site.shift.begun(), tapped(site.on_statement, site.on_commit), observed(site.on_crashpoint):
        for deed in deeds:
            site.shift.do(deed)
            site.shift.work_off()
    return sorted(line for record in records.read_all() for line in _describe(record)) + records.orphans()


def _describe(record: records.Record) -> list[str]:
    is_live = f"{record.status} due={record.due_at is not None} owner={bool(record.owner)} {record.blocked}"
    lines = [f"{record.output} {record.failure_message} {is_live} {record.activities} {record.strays}"]
    lines += [f"waiting {event.kind}" for event in record.waiting]
    for event in record.history:
        if not isinstance(event, OrchestratorStarted | OrchestratorCompleted):
            members = encoding.to_members(event)
            lines.append(str({name: value for name, value in members.items() if name not in WHO_WRITES}))
    return lines


@pytest.mark.parametrize("name", SCENARIOS)
def test_connection_that_dies_at_any_statement_changes_nothing(name: str) -> None:
    _strike_everywhere(SCENARIOS[name], is_death=False)


@pytest.mark.parametrize("name", SCENARIOS)
def test_process_that_dies_at_any_crash_point_or_commit_changes_nothing(name: str) -> None:
    _strike_everywhere(SCENARIOS[name], is_death=True)


def _strike_everywhere(deeds: list[Deed], *, is_death: bool) -> None:
    undisturbed = Site(Shift(), is_death=is_death)
    expected = play(deeds, undisturbed)
    problems = []
    for number, label in enumerate(undisturbed.labels):
        site = Site(Shift(), number, is_death)
        try:
            found = play(deeds, site)
        except Exception as error:
            problems.append(f"site {number} ({label}): {type(error).__name__}: {error}")
            continue
        assert site.has_struck, f"site {number} ({label}) was not reached"
        if found != expected:
            problems.append(f"site {number} ({label}): {set(found) ^ set(expected)}")
    assert not problems, f"{len(problems)} of {len(undisturbed.labels)} sites:\n" + "\n".join(problems)
