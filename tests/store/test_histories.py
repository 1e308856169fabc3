"""How the events of a turn become rows: few of them, short ones, and all of them read back in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.store import sql
from orchestrations.store.histories import PART_CHARACTERS, rows_of
from tests.bursts import burst_once, drain, kinds_of, status_of
from tests.histories import append, events_of, parts_of, positions_of
from tests.store.holding import row_of, schedule_of
from tests.store.plans import watch_reads

HUB = "main"


@given(st.lists(st.integers(1, 3 * PART_CHARACTERS), max_size=40), st.integers(0, 1000))
def test_parts_hold_all_events_in_order_and_are_short_unless_they_hold_one(sizes: Sequence[int], start: int) -> None:
    texts = [f'"{chr(97 + place % 26) * size}"' for place, size in enumerate(sizes)]
    rows = rows_of(1, "e", start, texts)
    assert [text for row in rows for text in json.loads(f"[{row['body']}]")] == [json.loads(text) for text in texts]
    place = start
    for row in rows:
        assert row["sequence"] == place
        place += row["count"]
        assert row["count"] == 1 or len(row["body"]) <= PART_CHARACTERS
    assert place == start + len(texts)
    for one, other in pairwise(rows):
        assert len(one["body"]) + 2 + len(texts[other["sequence"] - start]) > PART_CHARACTERS


def test_a_turn_is_one_row_and_a_wide_one_few() -> None:
    client = DurableClient()
    slim, wide = client.start_new("sequence", client_input=3), client.start_new("fan_out", client_input=100)
    drain()
    assert parts_of(slim).count() == 4
    turns = sum(event.kind == "OrchestratorStarted" for event in events_of(parts_of(wide)))
    assert parts_of(wide).count() <= turns + 20
    for instance_id in (slim, wide):
        assert positions_of(parts_of(instance_id)) == list(range(schedule_of(instance_id).position))


@pytest.mark.parametrize("size", [1, 7, 200])
def test_a_page_has_its_positions_wherever_parts_begin(size: int) -> None:
    instance_id = DurableClient().start_new("fan_out", client_input=100)
    drain()
    whole = queries.list_history(HUB, instance_id).rows
    assert [row.sequence for row in whole] == list(range(len(whole)))
    assert max(parts_of(instance_id).values_list("count", flat=True)) > 7
    for start in range(0, len(whole) + size, size):
        assert queries.list_history(HUB, instance_id, start=start, size=size).rows == whole[start : start + size]


def test_positions_that_are_missing_are_left_out() -> None:
    row = row_of(DurableClient().start_new("plain"))
    execution = schedule_of(row.instance_id).execution
    for start in (0, 10):
        append(row.pk, execution, start, [{"EventType": "Odd", "EventId": n} for n in range(start, start + 3)])
    for start, size, wanted in ((0, 20, [0, 1, 2, 10, 11, 12]), (2, 9, [2, 10]), (4, 3, []), (11, 1, [11])):
        page = queries.list_history(HUB, row.instance_id, start=start, size=size)
        assert [event.sequence for event in page.rows] == wanted


def test_the_input_is_found_where_the_start_is_not_the_first_of_the_history() -> None:
    """Nor is a payload that looks like the start taken for it."""
    client, text = DurableClient(), '"EventType":"ExecutionStarted"'
    instance_id = client.start_new("plain", client_input=text, start_at=timedelta(seconds=0.5))
    client.suspend(instance_id, text)
    burst_once()
    assert set(kinds_of(instance_id)) == {"OrchestratorStarted", "ExecutionSuspended", "OrchestratorCompleted"}
    assert client.get_status(instance_id, show_input=True).input_ == text
    client.resume(instance_id)
    drain()
    assert status_of(instance_id) is Status.COMPLETED
    assert client.get_status(instance_id, show_input=True).input_ == text


def test_a_page_at_the_end_of_a_long_history_reads_no_more_than_one_at_its_beginning() -> None:
    row = row_of(DurableClient().start_new("plain"))
    execution = schedule_of(row.instance_id).execution
    append(row.pk, execution, 0, [{"EventType": "Odd", "EventId": n, "Text": "x" * 300} for n in range(20_000)])
    if sql.is_postgres():  # SQLite would keep what it has learned for all tests that follow
        sql.run("ANALYZE", [])
    for start in (0, 200, 19_800):
        with watch_reads() as reads:
            assert len(queries.list_history(HUB, row.instance_id, start=start, size=200).rows) == 200
        assert reads.rows <= 40, str(reads)
        assert not reads.scans, str(reads)
