"""What must hold at the end of a run, of every instance and of all that its code did (I1 to I16)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from orchestrations.authoring.context import body_of
from orchestrations.authoring.registry import ORCHESTRATOR, registry
from orchestrations.engine.events import EventRaised, HistoryEvent, TaskCompleted
from orchestrations.engine.state import Status
from orchestrations.store.inbox import CONTROL
from tests.invariants import check_history, check_sequence, check_stored
from tests.protocol import records
from tests.protocol.clients import Client
from tests.protocol.programs import PROGRAM, Stage
from tests.protocol.records import Record
from tests.protocol.world import Violation, World


def check_end(world: World, stage: Stage, clients: Sequence[Client]) -> None:
    """Raise `Violation` for the first thing that does not hold."""
    found = list(records.read_all())
    by_id = {(record.hub, record.instance_id): record for record in found}
    for record in found:
        for problem in _check_record(record, stage):
            raise Violation(f"{record.hub}/{record.instance_id}: {problem}")
    for problem in _check_effects(world, stage):
        raise Violation(problem)
    for client in clients:
        for problem in _check_client(client, by_id.get((client.hub, client.instance_id))):
            raise Violation(f"{client.hub}/{client.instance_id}: {problem}")
    for table in records.orphans():
        raise Violation(f"I16: rows of {table} belong to no instance")
    for problem in stage.problems:
        raise Violation(problem)


def _check_record(record: Record, stage: Stage) -> Iterator[str]:
    if not Status(record.status).is_terminal:
        yield f"I1: it is still {record.status}"
    if record.owner or record.due_at is not None or record.blocked:
        yield f"I15: it has ended; due at {record.due_at}, leased by '{record.owner}', blocked '{record.blocked}'"
    if record.activities:
        yield f"I5: {record.activities} of its activities were never settled"
    if record.strays:
        yield f"CAN-3: {record.strays} events of earlier executions are left"
    if left := [event.kind for event in record.waiting if not isinstance(event, (EventRaised, *CONTROL))]:
        yield f"I6: {left} wait for what has ended"
    if record.status == "Failed":
        yield f"no program fails, but it did: {record.failure_message}"
    yield from check_sequence(record.numbers)
    yield from check_history(record.history, body_of(registry.get(ORCHESTRATOR, PROGRAM)))
    yield from check_stored(record.history, record.status, record.output, record.failure_message)
    yield from _check_results(record, stage)


def _check_results(record: Record, stage: Stage) -> Iterator[str]:
    """I5: each result in the history is what this very attempt has once given."""
    for event in record.history:
        if isinstance(event, TaskCompleted):
            key = f"{record.hub}/{record.instance_id}/{record.execution}/{event.task_scheduled_id}"
            given = stage.results.get((key, event.attempt or 1), [])
            if json.loads(event.result or "null") not in given:
                yield f"I5: {key} has the result {event.result}, but gave {given}"


def _check_effects(world: World, stage: Stage) -> Iterator[str]:
    """I5: nothing ran that no commit had asked for; what may run at most once did."""
    for (key, attempt), count in stage.effects.items():
        world.counts["repeated"] += count > 1
        _, _, execution, sequence = key.split("/")
        if (execution, int(sequence), attempt) not in world.dispatched:
            yield f"I5: {key} ran, but no commit has asked for it"
        if count > 1 and key in stage.once:
            yield f"REL-5: {key} may run at most once, and ran {count} times"


def _check_client(client: Client, record: Record | None) -> Iterator[str]:
    """I12: what was accepted was consumed once, in order, or is kept; nothing is there twice."""
    if record is None:
        if client.is_started:
            yield "I1: it was accepted, and is not there"
        return
    raised = [*_numbers(record.history), *_numbers(record.waiting)]
    if len(raised) != len(set(raised)):
        yield f"I12: of the events {raised} some are there twice"
    if record.status != "Completed":
        return
    out = [entry for entry in json.loads(record.output or "[]") if isinstance(entry, dict)]
    consumed = [entry["event"] for entry in out if entry["event"] is not None]
    if consumed != sorted(set(consumed)):
        yield f"I12: it consumed the events {consumed}"
    if lost := set(client.accepted) - set(raised) - set(consumed):
        yield f"I12: {lost} of the events {client.accepted} are lost; it consumed {consumed}"


def _numbers(events: Sequence[HistoryEvent]) -> list[int]:
    return [json.loads(e.input or "null") for e in events if isinstance(e, EventRaised) and e.name == "go"]
