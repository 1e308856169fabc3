"""What the client refuses, with which code, and that nothing has changed then; what it does otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine import payloads
from orchestrations.engine.state import Status
from orchestrations.errors import DurableError, InstanceExistsError, InvalidError, NotRegisteredError, PayloadError
from orchestrations.store.models import InboxMessage, Instance, Schedule, TaskHub
from tests.bursts import drain, kinds_of, status_of
from tests.client.dumps import dump_tables
from tests.functions import plain

MIB = 1024 * 1024
UNSTORABLE = ["nul\x00", "lone \ud800", "\udcff"]
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


def nested_lists(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.fixture
def client() -> DurableClient:
    return DurableClient()


@pytest.fixture
def live(client: DurableClient) -> str:
    """An instance that waits."""
    instance_id = client.start_new("wait_for", "live", ["never"])
    drain()
    return instance_id


def refused(call: Callable[[], Any]) -> DurableError:
    """Return the error of the call, which has changed nothing."""
    before = dump_tables()
    with pytest.raises(DurableError) as caught:
        call()
    assert dump_tables() == before
    return caught.value


# --- names


@pytest.mark.parametrize(
    ("name", "near"), [("E1_HelloSequenc", "E1_HelloSequence"), ("sequense", "sequence"), ("fan-out", "fan_out")]
)
def test_an_unknown_orchestrator_is_refused_with_near_names(client: DurableClient, name: str, near: str) -> None:
    error = refused(lambda: client.start_new(name))
    assert isinstance(error, NotRegisteredError)
    assert (error.code, near in error.near) == ("orchestrator.unknown", True)
    assert f"Did you mean '{near}'" in error.message


def test_a_name_that_is_like_no_other_has_no_hint(client: DurableClient) -> None:
    error = refused(lambda: client.start_new("qqqqqq"))
    assert error.message == "A 'qqqqqq' orchestrator was not registered."


def test_an_activity_is_no_orchestrator(client: DurableClient) -> None:
    assert refused(lambda: client.start_new("echo")).code == "orchestrator.unknown"


def test_a_decorated_function_is_as_good_as_its_name(client: DurableClient) -> None:
    instance_id = client.start_new(plain)
    drain()
    assert client.get_status(instance_id).output == "done"


def test_a_name_that_breaks_the_rule_is_refused(client: DurableClient, live: str) -> None:
    for name in ["a" * 257, "line\nbreak", *UNSTORABLE]:
        calls: list[Callable[[], Any]] = [
            partial(client.start_new, name),
            partial(client.raise_event, live, name),
            partial(client.start_new, "plain", version=name),
        ]
        assert [refused(call).code for call in calls] == ["name.invalid"] * 3


def test_an_event_needs_a_name(client: DurableClient, live: str) -> None:
    assert refused(lambda: client.raise_event(live, "")).code == "name.invalid"


# --- ids


BAD_IDS = [
    ("", "length 0"),
    ("a" * 257, "length 257"),
    ("@counter@key", "starts with '@'"),
    (".", "'.' cannot stand in a URL"),
    ("..", "'..' cannot stand in a URL"),
    ("a/b", "character 2 is '/'"),
    ("a\\b", "character 2"),
    ("a#", "character 2 is '#'"),
    ("?", "character 1 is '?'"),
    ("tab\there", "character 4"),
    ("nul\x00", "character 4"),
    ("c1\x9bcsi", "character 3"),
    ("lone\ud800", "character 5"),
]


def test_a_bad_instance_id_is_refused_with_the_rule(client: DurableClient) -> None:
    for instance_id, what in BAD_IDS:
        error = refused(lambda i=instance_id: client.start_new("plain", i))  # type: ignore[misc]
        assert error.code == "instance-id.invalid"
        assert what in error.message
        assert "1 to 256 characters" in error.message


def test_a_good_instance_id_is_kept_as_it_is(client: DurableClient) -> None:
    good = ["a", "a" * 256, "Größe 3:ä@b", "...", "-"]
    assert [client.start_new("plain", instance_id) for instance_id in good] == good
    drain()
    assert {status_of(instance_id) for instance_id in good} == {Status.COMPLETED}


def test_ids_are_compared_exactly(client: DurableClient) -> None:
    client.start_new("wait_for", "Same", ["a"])
    client.start_new("wait_for", "same", ["a"])
    assert Instance.objects.count() == 2
    assert not client.get_status("SAME")


def test_a_second_start_with_a_live_id_is_refused_and_leaves_the_first(client: DurableClient, live: str) -> None:
    error = refused(lambda: client.start_new("plain", live))
    assert isinstance(error, InstanceExistsError)
    assert (error.code, error.status) == ("instance.exists", "Running")
    assert "'live' already exists and is Running" in error.message


@pytest.mark.parametrize("policy", ["replace", "", "REPLACE_ANY"])
def test_an_unknown_reuse_policy_is_refused(client: DurableClient, policy: str) -> None:
    assert refused(lambda: client.start_new("plain", if_exists=policy)).code == "if-exists.invalid"


def test_a_bad_start_does_not_create_its_hub() -> None:
    for bad in ({"instance_id": "a/b"}, {"input_json": "{"}, {"tags": {"": "x"}}, {"version": "\x00"}):
        refused(lambda bad=bad: DurableClient("unheard").start_new("plain", **bad))  # type: ignore[misc]
    assert not TaskHub.objects.filter(name="unheard").exists()


# --- payloads

BAD_JSON = [
    ("{", "json.syntax", "line 1 column 2"),
    ("", "json.syntax", "line 1 column 1"),
    ('{"a": 1,\n "b" 2}', "json.syntax", "line 2 column 6"),
    ("'text'", "json.syntax", "line 1 column 1"),
    ("\ufeff{}", "json.syntax", ""),
    ("1 2", "json.syntax", "column 3"),
    (nested(65), "payload.depth", "64 levels"),
    ("[" * 200_000, "payload.depth", "64 levels"),
    ('"' + "x" * (MIB - 1) + '"', "payload.too-large", "limit is 1048576"),
    ('{"a": 1, "a": 2}', "payload.duplicate-key", "'a' twice"),
    ('[{"deep": {"k": 1, "l": 2, "k": 3}}]', "payload.duplicate-key", "'k' twice"),
    ("NaN", "payload.number", "NaN"),
    ("[Infinity]", "payload.number", "Infinity"),
    ("-Infinity", "payload.number", "-Infinity"),
    ("9" * 5000, "payload.number", ""),
    ("1e400", "payload.invalid", "inf"),
    ('"a\\u0000b"', "payload.nul", "NUL"),
    ('{"\\u0000": 1}', "payload.nul", "NUL"),
    ('"a\x00b"', "json.syntax", ""),
    ('"\\ud800"', "payload.invalid", "lone surrogate"),
    ('["\ud800"]', "payload.invalid", "lone surrogate"),
]


def test_bad_json_is_refused_with_what_is_wrong_and_where(client: DurableClient, live: str) -> None:
    for text, code, words in BAD_JSON:
        error = refused(lambda text=text: client.start_new("plain", input_json=text))  # type: ignore[misc]
        assert error.code == code, (text[:40], error.message)
        assert words in error.message
        assert error.message.startswith("The input")
        error = refused(lambda text=text: client.raise_event(live, "e", data_json=text))  # type: ignore[misc]
        assert error.code == code
        assert error.message.startswith("The event's data")


BAD_VALUES: list[tuple[Any, str, str]] = [
    ({"when": [datetime(2026, 1, 1, tzinfo=UTC)]}, "result.not-serializable", "datetime at $.when[0]"),
    ({1, 2}, "result.not-serializable", "set at $"),
    (b"bytes", "result.not-serializable", "bytes"),
    (float("nan"), "result.not-serializable", "nan"),
    (CIRCULAR, "result.not-serializable", "circular"),
    ("\ud800", "result.not-serializable", "lone surrogate"),
    ({"a": ["\x00"]}, "result.not-serializable", "NUL"),
    ("x" * MIB, "payload.too-large", "1048578 bytes"),
    ("ä" * (MIB // 2), "payload.too-large", "limit is 1048576"),
]


def test_a_value_that_is_no_json_is_refused(client: DurableClient, live: str) -> None:
    for value, code, words in BAD_VALUES:
        for error in (
            refused(lambda value=value: client.start_new("plain", None, value)),  # type: ignore[misc]
            refused(lambda value=value: client.raise_event(live, "e", value)),  # type: ignore[misc]
        ):
            assert isinstance(error, PayloadError)
            assert (error.code, words in error.message) == (code, True), error.message


def test_a_payload_at_the_limit_is_kept(client: DurableClient) -> None:
    for text in [nested(64), '"' + "x" * (MIB - 2) + '"', '{"a":{"b":null}}', "-0", "[1e308]"]:
        instance_id = client.start_new("plain", input_json=text)
        assert queries.get_instance(client.hub, instance_id).input_json == payloads.parse(text)
        drain()
        assert status_of(instance_id) is Status.COMPLETED


def test_json_from_outside_is_kept_in_canonical_form(client: DurableClient) -> None:
    instance_id = client.start_new("plain", input_json='  {"ä" : [1,  2.50],\n "b":"\\u00e4"} ')
    assert queries.get_instance(client.hub, instance_id).input_json == '{"ä":[1,2.5],"b":"ä"}'


# --- tags and the rest


BAD_TAGS: list[dict[Any, Any]] = [
    {f"t{n}": "" for n in range(21)},
    {"": "empty name"},
    {"n" * 65: "x"},
    {"n": "v" * 257},
    {"n": 1},
    {1: "n"},
    {"durabletask.secret": "x"},
    {"DurableTask.secret": "x"},
    {"durabletask.DISPLAYNAME": "x"},
    *({"n": text} for text in UNSTORABLE),
    *({text: "v"} for text in UNSTORABLE),
]


def test_tags_that_break_a_rule_are_refused(client: DurableClient) -> None:
    for tags in BAD_TAGS:
        error = refused(lambda tags=tags: client.start_new("plain", tags=tags))  # type: ignore[misc]
        assert error.code == "tags.invalid"
        error.message.encode()


def test_tags_at_the_limit_are_kept(client: DurableClient) -> None:
    tags = {f"{n:064}": "ä" * 256 for n in range(19)} | {"durabletask.displayName": "Größe"}
    instance_id = client.start_new("plain", tags=tags)
    assert client.get_status(instance_id).tags == tags


WRONG_STARTS: list[tuple[dict[str, Any], str, str]] = [
    ({"instance_id": 5}, "instance-id.invalid", "length int"),
    ({"instance_id": ["a"]}, "instance-id.invalid", "length list"),
    ({"version": 2}, "name.invalid", "The version of an orchestrator must be a text"),
    ({"version": 0}, "name.invalid", "The version of an orchestrator must be a text"),
    ({"if_exists": ["error"]}, "if-exists.invalid", "if_exists must be one of"),
    ({"tags": [1]}, "tags.invalid", "must be a mapping of texts, not list"),
    ({"tags": "a=b"}, "tags.invalid", "must be a mapping of texts, not str"),
    ({"tags": 0}, "tags.invalid", "must be a mapping of texts, not int"),
    ({"start_at": "2030"}, "time.invalid", "start_at must be a datetime, not str"),
    ({"start_at": 5}, "time.invalid", "start_at must be a datetime, not int"),
    ({"start_at": timedelta.max}, "time.invalid", "dates end with the year 9999"),
    ({"start_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "time.invalid", "beyond the years"),
    ({"priority": "1"}, "priority.invalid", "not '1'"),
    ({"priority": 1.5}, "priority.invalid", "not 1.5"),
    ({"priority": True}, "priority.invalid", "not True"),
    ({"priority": 10**5000}, "priority.invalid", "a whole number from -9 to 9"),
    ({"priority": None}, "priority.invalid", "not None"),
    ({"priority": nested_lists(100_000)}, "priority.invalid", "not [[[["),
    ({"if_exists": nested_lists(100_000)}, "if-exists.invalid", "not [[[["),
    ({"input_json": 5}, "json.type", "The input as JSON must be a text, not int"),
    ({"input_json": b"{}"}, "json.type", "not bytes"),
    ({"input_json": "1", "client_input": 2}, "json.type", "The input is given twice"),
    ({"client_input": {1: 2, "1": 3}}, "result.not-serializable", "the keys 1 and '1' are one name at $"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG_STARTS, ids=range(len(WRONG_STARTS)))
def test_a_start_with_an_argument_of_a_wrong_type_is_refused_with_the_rule(
    client: DurableClient, arguments: dict[str, Any], code: str, words: str
) -> None:
    error = refused(lambda: client.start_new("plain", **arguments))
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize("name", [5, None, "", len, nested_lists(100_000)], ids=range(5))
def test_what_is_no_name_of_an_orchestrator_is_refused(client: DurableClient, name: Any) -> None:
    assert refused(lambda: client.start_new(name)).code == "name.invalid"


@pytest.mark.parametrize("instance_id", [5, None, ["live"], b"live", object()])
def test_every_call_refuses_an_id_of_a_wrong_type(client: DurableClient, instance_id: Any) -> None:
    calls = [order for _, order in orders(client, instance_id)]
    calls += [partial(client.get_status, instance_id), partial(client.wait_for_completion, instance_id, 0)]
    assert [refused(call).code for call in calls] == ["instance-id.invalid"] * 6


def test_every_call_refuses_other_arguments_of_a_wrong_type(client: DurableClient, live: str) -> None:
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: client.raise_event(live, 123), "name.invalid"),  # type: ignore[arg-type]
        (lambda: client.raise_event(live, "e", event_id=5), "event-id.invalid"),  # type: ignore[arg-type]
        (lambda: client.raise_event(live, "e", data_json=5), "json.type"),  # type: ignore[arg-type]
        (lambda: client.raise_event(live, "e", 1, data_json="1"), "json.type"),
        (lambda: client.terminate(live, 5), "reason.invalid"),  # type: ignore[arg-type]
        (lambda: client.suspend(live, None), "reason.invalid"),  # type: ignore[arg-type]
        (lambda: client.resume(live, b"why"), "reason.invalid"),  # type: ignore[arg-type]
        (lambda: client.wait_for_completion(live, "5"), "time.invalid"),  # type: ignore[arg-type]
        (lambda: client.wait_for_completion(live, float("nan")), "time.invalid"),
        (lambda: DurableClient(5), "name.invalid"),  # type: ignore[arg-type]
    ]
    assert [refused(call).code for call, _ in wrong] == [code for _, code in wrong]


@pytest.mark.parametrize("priority", [-10, 10])
def test_a_priority_out_of_range_is_refused(client: DurableClient, priority: int) -> None:
    assert refused(lambda: client.start_new("plain", priority=priority)).code == "priority.invalid"


def test_an_event_id_that_cannot_be_kept_is_refused(client: DurableClient, live: str) -> None:
    for event_id in ["", "x" * 101, *UNSTORABLE]:
        error = refused(lambda i=event_id: client.raise_event(live, "e", event_id=i))  # type: ignore[misc]
        assert error.code == "event-id.invalid"


def test_a_start_without_a_zone_is_taken_as_utc(client: DurableClient) -> None:
    at = datetime.now(UTC) + timedelta(hours=2)
    instance_id = client.start_new("plain", start_at=at.replace(tzinfo=None))
    assert Schedule.objects.get(instance__instance_id=instance_id).due_at == at


def test_a_start_may_be_given_as_a_time_from_now(client: DurableClient) -> None:
    instance_id = client.start_new("plain", start_at=timedelta(hours=2))
    drain()
    assert status_of(instance_id) is Status.PENDING
    body = json.loads(InboxMessage.objects.get(instance__instance_id=instance_id).body)
    assert body["ScheduledStartTime"] > f"{datetime.now(UTC) + timedelta(hours=1, minutes=59):%Y-%m-%dT%H:%M}"


# --- instances that are not there, or have ended


def orders(client: DurableClient, instance_id: str) -> list[tuple[str, Callable[[], Any]]]:
    """Everything that can be asked of a live instance, with what a refusal calls it."""
    return [
        ("event", lambda: client.raise_event(instance_id, "e", 1, event_id="x")),
        ("suspension", lambda: client.suspend(instance_id)),
        ("resumption", lambda: client.resume(instance_id)),
        ("termination", lambda: client.terminate(instance_id, "reason")),
    ]


def test_orders_to_an_unknown_instance_are_refused(client: DurableClient, live: str) -> None:
    for instance_id in ["nobody", "", "@a@b", "a" * 5000, *UNSTORABLE]:
        for _, order in orders(client, instance_id):
            assert refused(order).code == "instance.unknown"
        assert not client.get_status(instance_id, show_history=True)
        waits = refused(lambda i=instance_id: client.wait_for_completion(i, 0))  # type: ignore[misc]
        assert waits.code == "instance.unknown"


def test_orders_to_an_instance_of_another_hub_are_refused(live: str) -> None:
    for _, order in orders(DurableClient("another"), live):
        assert refused(order).code == "instance.unknown"


def test_orders_to_an_ended_instance_are_refused_and_say_since_when(client: DurableClient) -> None:
    instance_id = client.start_new("plain")
    drain()
    for what, order in orders(client, instance_id):
        error = refused(order)
        assert error.code == "instance.terminal"
        assert f"is Completed since {datetime.now(UTC):%Y-%m-%d}" in error.message
        assert error.message.endswith(f"it takes no {what}.")


def test_an_event_id_that_an_ended_instance_refused_is_not_used_up(client: DurableClient, live: str) -> None:
    client.terminate(live)
    drain()
    refused(lambda: client.raise_event(live, "e", event_id="x"))
    client.start_new("wait_for", live, ["e"])
    assert client.raise_event(live, "e", event_id="x") is True


def test_an_event_that_is_sent_again_after_the_end_is_a_quiet_no(client: DurableClient) -> None:
    """EVT-5: who sends at least once gets no error for his own success."""
    live = client.start_new("wait_for", client_input=["e"])
    assert client.raise_event(live, "e", event_id="x") is True
    drain()
    assert status_of(live) is Status.COMPLETED
    before = dump_tables()
    assert client.raise_event(live, "e", event_id="x") is False
    assert dump_tables() == before
    assert refused(lambda: client.raise_event(live, "e", event_id="y")).code == "instance.terminal"


def test_a_full_inbox_refuses_an_event(client: DurableClient, live: str, settings: Any) -> None:
    settings.DURABLE_INBOX_MESSAGES = 3
    for _ in range(3):
        client.raise_event(live, "e")
    error = refused(lambda: client.raise_event(live, "e", event_id="x"))
    assert error.code == "inbox.full"
    assert client.suspend(live) is True  # management is not held up by it


def test_what_has_no_effect_says_so_and_changes_nothing(client: DurableClient, live: str) -> None:
    before = dump_tables()
    assert client.resume(live) is False
    assert dump_tables() == before
    assert client.suspend(live) is True
    drain()
    before = dump_tables()
    assert client.suspend(live) is False
    assert dump_tables() == before


@pytest.mark.parametrize("reason", ["nul\x00\x1b[31m", "lone \ud800", "x" * 10_000])
def test_any_reason_is_kept_as_far_as_it_can_be(client: DurableClient, live: str, reason: str) -> None:
    client.suspend(live, reason)
    drain()
    assert status_of(live) is Status.SUSPENDED
    kept = Instance.objects.get(instance_id=live).status_reason
    assert 0 < len(kept) <= 4096
    client.terminate(live, reason)
    drain()
    assert status_of(live) is Status.TERMINATED
    assert client.get_status(live).output[:3] == reason[:3]


# --- what it does


def test_a_call_takes_part_in_the_callers_transaction(client: DurableClient, live: str) -> None:
    before = dump_tables()

    def give_up() -> None:
        with transaction.atomic():
            client.start_new("plain")
            client.raise_event(live, "never")
            client.terminate(live)
            raise LookupError

    with pytest.raises(LookupError):
        give_up()
    assert dump_tables() == before


def test_a_refusal_leaves_the_callers_transaction_usable(client: DurableClient, live: str) -> None:
    with transaction.atomic():
        refused(lambda: client.start_new("plain", live))
        refused(lambda: client.raise_event("nobody", "e"))
        client.raise_event(live, "never", 1)
    drain()
    assert client.get_status(live).output == [1]


def test_the_status_obeys_what_is_asked_for(client: DurableClient) -> None:
    instance_id = client.start_new("sequence", client_input=1, tags={"a": "b"})
    drain()
    bare = client.get_status(instance_id)
    assert (bare.input_, bare.history, bare.output, bare.tags) == (None, None, 0, {"a": "b"})
    shown = client.get_status(instance_id, show_input=True, show_history=True)
    assert shown.input_ == 1
    assert shown.history is not None
    assert [m["EventType"] for m in shown.history] == kinds_of(instance_id)
    assert not [m for m in shown.history if "Result" in m]
    full = client.get_status(instance_id, show_history=True, show_history_output=True)
    assert full.history is not None
    assert [m["Result"] for m in full.history if m["EventType"] == "TaskCompleted"] == ["0"]


def test_an_unknown_instance_has_a_falsy_status(client: DurableClient) -> None:
    status = client.get_status("nobody")
    assert not status
    assert (status.instance_id, status.runtime_status) == ("nobody", None)


def test_waiting_returns_the_end_or_times_out(client: DurableClient, live: str) -> None:
    with pytest.raises(TimeoutError, match=r"'live' is still Running after 0\.05 s"):
        client.wait_for_completion(live, 0.05)
    client.raise_event(live, "never", 5)
    drain()
    assert client.wait_for_completion(live).output == [5]


def test_waiting_takes_a_timedelta(client: DurableClient, live: str) -> None:
    with pytest.raises(TimeoutError, match=r"after 0\.05 s"):
        client.wait_for_completion(live, timedelta(seconds=0.05))


def test_waiting_within_a_transaction_is_refused_with_a_sentence(client: DurableClient, live: str) -> None:
    with transaction.atomic():
        started = client.start_new("plain")
        for instance_id in (started, live):
            with pytest.raises(InvalidError, match="no worker sees what was started in it before it commits") as caught:
                client.wait_for_completion(instance_id, 5)
            assert caught.value.code == "transaction.open"
    drain()
    assert client.wait_for_completion(started, 5).output == "done"


def test_termination_can_spare_the_children(client: DurableClient) -> None:
    parent = client.start_new("parent", client_input=["a"])
    drain()
    client.terminate(parent, recursive=False)
    drain()
    assert status_of(parent) is Status.TERMINATED
    assert Instance.objects.get(parent__instance_id=parent).status == "Running"
    assert not InboxMessage.objects.exists()


@pytest.mark.parametrize("version", [None, "", "1.0"])
def test_a_version_is_optional(client: DurableClient, version: str | None) -> None:
    instance_id = client.start_new("plain", version=version)
    assert Instance.objects.get(instance_id=instance_id).version == (version or None)


def test_an_invalid_argument_is_a_value_error_too(client: DurableClient) -> None:
    assert isinstance(refused(lambda: client.start_new("plain", "a/b")), InvalidError | ValueError)
