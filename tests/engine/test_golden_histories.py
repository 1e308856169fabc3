"""Histories that earlier engines have written replay for ever, and a changed one is detected in exact words (TST-7)."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from orchestrations.authoring.context import OrchestrationContext
from orchestrations.engine.encoding import encode
from orchestrations.engine.events import (
    ExecutionCompleted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    TaskScheduled,
)
from orchestrations.engine.execution import Execution
from orchestrations.engine.matching import describe
from orchestrations.engine.state import Status, fold
from orchestrations.engine.turn import Turn
from orchestrations.errors import NondeterminismError
from tests.builders import HistoryBuilder, activity, body, done
from tests.engine.scenarios import DIRECTORY, SCENARIOS, Scenario, read, without_traces
from tests.invariants import check_history

ALL = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def test_every_scenario_has_a_history_and_every_history_a_scenario() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.json")} == {scenario.name for scenario in SCENARIOS}


@ALL
def test_kept_history_replays(scenario: Scenario) -> None:
    events = read(scenario.name)
    turn = Turn(body(scenario.function))
    turn.replay(events)
    state = fold(events)
    if not any(isinstance(e, ExecutionTerminated) for e in events):
        assert (turn.completion.status if turn.completion else Status.RUNNING) is state.status
        assert (turn.completion.result if turn.completion else None) == state.output


@ALL
def test_kept_history_keeps_the_invariants_at_every_prefix(scenario: Scenario) -> None:
    assert check_history(read(scenario.name), body(scenario.function)) == []


@ALL
def test_scenario_still_writes_the_history_that_is_kept(scenario: Scenario) -> None:
    assert [encode(e) for e in scenario.record()] == [encode(e) for e in read(scenario.name)]


@ALL
def test_file_keeps_every_member(scenario: Scenario) -> None:
    rows = json.loads((DIRECTORY / f"{scenario.name}.json").read_text())
    assert rows == without_traces(rows)
    assert [json.loads(encode(e)) for e in read(scenario.name)] == rows


@ALL
def test_incompatible_copy_is_detected_with_number_expected_and_found(scenario: Scenario) -> None:
    """The history holds another activity where the code asks for what it always asked for."""
    events = read(scenario.name)
    asked = next((e for e in events if e.event_id == 1), None)
    if asked is None or any(isinstance(e, ExecutionTerminated) for e in events[:4]):
        return
    other = replace(activity(1, "Renamed", attempt=getattr(asked, "attempt", None)), timestamp=asked.timestamp)
    changed: list[HistoryEvent] = [other if e is asked else e for e in events]
    with pytest.raises(NondeterminismError) as caught:
        Turn(body(scenario.function)).replay(changed)
    name = scenario.name
    expected = (
        f"Non-deterministic orchestrator '{name}': at sequence number 1 the history holds activity 'Renamed', "
        f"but the code asked for {describe(asked)}. Either the code was changed"
    )
    assert caught.value.message.startswith(expected)
    assert (caught.value.sequence, caught.value.expected, caught.value.found) == (
        1,
        "activity 'Renamed'",
        describe(asked),
    )


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.name != "plain_function"], ids=lambda s: s.name)
def test_completed_instance_fails_replay_too(scenario: Scenario) -> None:
    """The code goes on behind the end that the history holds."""
    events = read(scenario.name)
    if fold(events).status is not Status.COMPLETED:
        return

    with pytest.raises(NondeterminismError) as caught:
        Turn(lambda execution: _longer(scenario, execution)).replay(events)
    assert caught.value.expected == "the end of the orchestrator"
    assert caught.value.found == "nothing (it waits for activity 'Added')"


@ALL
def test_history_whose_end_was_cut_off_is_detected(scenario: Scenario) -> None:
    """The code ends where the history says that it goes on."""
    events = read(scenario.name)
    if not fold(events).status.is_terminal or any(isinstance(e, ExecutionTerminated) for e in events):
        return
    cut = [e for e in events if not isinstance(e, ExecutionCompleted)]
    with pytest.raises(NondeterminismError) as caught:
        Turn(body(scenario.function)).replay(cut)
    assert caught.value.expected == "nothing (it goes on)"


def test_history_of_ten_thousand_events_replays() -> None:
    def f(context: Any) -> Any:
        total = 0
        for number in range(2_500):
            total += yield context.call_activity("Add", number)
        return total

    history = HistoryBuilder("f").turn(activity(1, "Add", 0))
    for number in range(1, 2_500):
        history.turn(done(number, 1), activity(number + 1, "Add", number))
    assert len(history.events) == 10_000
    turn = Turn(body(f))
    turn.replay(history.events)
    assert [w["sequence"] for w in turn.waiting()] == [2_500]
    assert sum(isinstance(e, TaskScheduled) for e in history.events) == 2_500
    assert isinstance(history.events[-1], OrchestratorCompleted)


def _longer(scenario: Scenario, execution: Execution) -> Generator[Any, Any, None]:
    """Be the scenario's orchestrator with one more activity at its end."""
    inner = body(scenario.function)(execution)
    yield from inner.__await__() if hasattr(inner, "__await__") else inner
    yield OrchestrationContext(execution).call_activity("Added")
