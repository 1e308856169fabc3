"""History events ↔ JSON: nothing is lost, whatever the kind, and unknown members are kept (HIS-2, HIS-3)."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.engine.encoding import decode, encode, format_time, from_members, parse_time, to_members
from orchestrations.engine.events import KINDS, HistoryEvent, ParentInstance
from orchestrations.engine.failures import FailureDetails
from tests.builders import T0, activity, failed, fired, timer

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
DETAILS = st.recursive(
    st.builds(FailureDetails, TEXT, TEXT, TEXT, st.none(), st.just({}), is_non_retriable=st.booleans()),
    lambda inner: st.builds(FailureDetails, TEXT, TEXT, TEXT, inner, st.just({"bases": ["builtins.Exception"]})),
    max_leaves=3,
)
PARENTS = st.builds(ParentInstance, TEXT, TEXT, TEXT, st.integers(0), st.integers(1, 9), st.none() | TEXT)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "timestamp": MOMENTS,
    "fire_at": MOMENTS,
    "scheduled_start_time": MOMENTS,
    "event_id": st.integers(-1, 10**6),
    "task_scheduled_id": st.integers(0, 10**6),
    "timer_id": st.integers(0, 10**6),
    "attempt": st.integers(1, 99),
    "to_event": st.integers(0, 99),
    "failure_details": DETAILS,
    "failed_tasks": st.lists(st.integers(1, 99), max_size=3).map(tuple),
    "tags": st.dictionaries(TEXT, TEXT, max_size=3),
    "parent": PARENTS,
    "recurse": st.booleans(),
    "is_named": st.just(True),
    "undone": st.lists(st.integers(1)).map(tuple),
    "extra": st.dictionaries(TEXT.map(lambda name: f"X-{name}"), st.integers() | TEXT | st.none(), max_size=2),
}


@st.composite
def events(draw: st.DrawFn, kind: type[HistoryEvent]) -> HistoryEvent:
    """Draw an event of that kind; members that may be absent often are."""
    values = {}
    for field in fields(kind):
        is_optional = field.default is not MISSING or field.default_factory is not MISSING
        if not is_optional or draw(st.booleans()):
            values[field.name] = draw(VALUES.get(field.name, TEXT))
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(data=st.data())
def test_every_kind_comes_back_from_json_as_it_was(kind: type[HistoryEvent], data: st.DataObject) -> None:
    event = data.draw(events(kind))
    text = encode(event)
    assert decode(text) == event
    assert encode(decode(text)) == text


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_unknown_members_are_kept_and_absent_ones_are_omitted(kind: type[HistoryEvent]) -> None:
    """HIS-2."""
    members: dict[str, Any] = {"EventType": kind.__name__, "EventId": 3, "Timestamp": format_time(T0)}
    required = {"Name": "n", "InstanceId": "i", "TaskScheduledId": 1, "TimerId": 1, "FireAt": format_time(T0)}
    required |= {"OrchestrationStatus": "Completed", "OrchestrationInstance": {"InstanceId": "i", "ExecutionId": "e"}}
    names = {"".join(part.title() for part in f.name.split("_")) for f in fields(kind)}
    members |= {k: v for k, v in required.items() if k in names or k == "OrchestrationInstance"}
    if kind.__name__ != "ExecutionStarted":
        members.pop("OrchestrationInstance")
    else:
        members.pop("InstanceId")
    members["NewInTheNextVersion"] = {"a": [1, None]}
    event = from_members(members)
    assert event.extra == {"NewInTheNextVersion": {"a": [1, None]}}
    assert to_members(event) == members


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            activity(1, "Charge", 7, attempt=1),
            '{"EventType":"TaskScheduled","EventId":1,"Timestamp":"2026-03-01T08:00:00.0000000Z","Name":"Charge",'
            '"Input":"7","Attempt":1}',
        ),
        (
            timer(1, 6, attempt=1, origin="retry"),
            '{"EventType":"TimerCreated","EventId":1,"Timestamp":"2026-03-01T08:00:00.0000000Z",'
            '"FireAt":"2026-03-01T08:00:06.0000000Z","Attempt":1,"Origin":"retry"}',
        ),
        (
            fired(2, 1.5),
            '{"EventType":"TimerFired","EventId":-1,"Timestamp":"2026-03-01T08:00:00.0000000Z","TimerId":2,'
            '"FireAt":"2026-03-01T08:00:01.5000000Z"}',
        ),
    ],
)
def test_json_has_the_names_and_the_order_of_the_wire(event: HistoryEvent, expected: str) -> None:
    """HIS-3, as in the specification's examples."""
    assert encode(event) == expected


def test_failed_task_is_written_as_the_wire_has_it() -> None:
    details = FailureDetails("shop.CardDeclined", "declined", "…")
    members = to_members(failed(1, details, attempt=1))
    assert members == {
        "EventType": "TaskFailed",
        "EventId": -1,
        "Timestamp": "2026-03-01T08:00:00.0000000Z",
        "TaskScheduledId": 1,
        "Reason": "declined",
        "FailureDetails": {
            "ErrorType": "shop.CardDeclined",
            "ErrorMessage": "declined",
            "StackTrace": "…",
            "IsNonRetriable": False,
        },
        "Attempt": 1,
    }


def test_is_played_is_computed_not_stored() -> None:
    """HIS-2."""
    members = to_members(activity(1, "A")) | {"IsPlayed": True}
    assert "IsPlayed" not in to_members(from_members(members))


def test_unknown_kind_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="Invented"):
        from_members({"EventType": "Invented", "Timestamp": format_time(T0)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T08:00:00.1234567Z", datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01T08:00:00Z", T0),
        ("2026-03-01T08:00:00", T0),
        ("2026-03-01T09:00:00+01:00", T0),
        ("2026-03-01T08:00:00.5Z", T0 + timedelta(seconds=0.5)),
    ],
)
def test_times_are_read_in_any_iso_form(text: str, expected: datetime) -> None:
    """SRF-5."""
    assert parse_time(text) == expected
    assert parse_time(text).tzinfo is UTC


def test_times_are_written_in_utc_with_seven_decimals() -> None:
    """HIS-2."""
    assert format_time(T0.astimezone(timezone(timedelta(hours=-5)))) == "2026-03-01T08:00:00.0000000Z"


def test_text_is_canonical_json_without_spaces() -> None:
    text = encode(activity(1, "Ü", {"a": "ß"}))
    assert "Ü" in text
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
