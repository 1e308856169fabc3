"""Values ↔ canonical JSON text, and every shape that must be refused (LIM-1, BAD-60)."""

from __future__ import annotations

import enum
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.engine.payloads import Limits, depth_of, dump, load, parse
from orchestrations.errors import PayloadError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_values_come_back_and_their_text_is_canonical(value: Any) -> None:
    text = dump(value)
    assert load(text) == value
    assert dump(load(text)) == text
    assert parse(text) == text


@given(JSON)
def test_depth_is_that_of_the_value(value: Any) -> None:
    def depth(part: Any) -> int:
        if not isinstance(part, dict | list):
            return 0
        return 1 + max((depth(p) for p in (part.values() if isinstance(part, dict) else part)), default=0)

    assert depth_of(json.dumps(value)) == depth(value)


class Colour(enum.StrEnum):
    """A text that is more than a text."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), "[1,2]"),
        ({1: True}, '{"1":true}'),
        ({1: 1, "b": 2, None: {2: 3}}, '{"1":1,"b":2,"null":{"2":3}}'),
        (Colour.RED, '"red"'),
        ("ü\n", '"ü\\n"'),
        ("\\u0000", '"\\\\u0000"'),
    ],
)
def test_what_json_takes_is_taken(value: Any, text: str) -> None:
    assert dump(value) == text


def circular() -> Any:
    """Return a list that holds itself."""
    value: list[Any] = []
    value.append([value])
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), "object at $"),
        ([1, {"a": {1, 2}}], "set at $[1].a"),
        ({"a": b"x"}, "bytes at $.a"),
        ([float("inf")], "the number inf at $[0]"),
        (circular(), "a circular or endless structure at $[0][0]"),
        ({(1,): 2}, "a key of type tuple at $"),
        (["a", "\ud800"], "a lone surrogate at $[1]"),
        ({"a": ["x\x00"]}, "a NUL character at $.a.0"),
        ({"\x00": 1}, "a NUL character at $.<key>"),
        ({"a": {float("nan"): 1}}, "a key that is the number nan at $.a"),
        ([{"\ud800": 1}], "a key with a lone surrogate at $[0]"),
        ([10**5_000], "a number of more than 4,300 digits at $[0]"),
        ({"a": {10**5_000: 1}}, "a key that is a number of more than 4,300 digits at $.a"),
        ({1: "a", "1": "b"}, "the keys 1 and '1' are one name at $"),
        ([{"a": [{"true": 1, True: 2}]}], "the keys 'true' and True are one name at $[0].a[0]"),
        ({"a": {None: 1, "b": 2, "null": 3}}, "the keys None and 'null' are one name at $.a"),
        ({1.5: 1, "1.5": 2}, "the keys 1.5 and '1.5' are one name at $"),
    ],
)
def test_what_is_no_json_is_refused_with_its_path(value: Any, words: str) -> None:
    """BAD-60."""
    with pytest.raises(PayloadError) as caught:
        dump(value, "The result of f")
    assert caught.value.code == "result.not-serializable"
    assert caught.value.message == f"The result of f is not JSON: {words}."


def test_too_large_a_value_says_size_and_limit_in_bytes() -> None:
    """LIM-1; docs/errors.md."""
    with pytest.raises(PayloadError) as caught:
        dump("ü" * 100, "The input", Limits(bytes=100))
    expected = "The input has 202 bytes, the limit is 100. Store it elsewhere and pass a reference."
    assert (caught.value.code, caught.value.message) == ("payload.too-large", expected)
    assert dump("ü" * 49, limits=Limits(bytes=100))


def nested(levels: int) -> Any:
    """Return lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [64, 65, 100_000])
def test_depth_is_bounded_without_recursion(levels: int) -> None:
    if levels == 64:
        assert dump(nested(levels))
        assert parse("[" * levels + "]" * levels)
        return
    with pytest.raises(PayloadError):
        dump(nested(levels))
    with pytest.raises(PayloadError):
        parse("[" * levels + "]" * levels)


def test_brackets_within_texts_do_not_count() -> None:
    assert depth_of('["[[[{{{", "\\"[["]') == 1
    assert parse(json.dumps(["[" * 100]))


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", "json.syntax", "line 1 column 2"),
        ("", "json.syntax", "line 1 column 1"),
        ('{"a":1,\n"a" 2}', "json.syntax", "line 2 column 5"),
        ("[1] x", "json.syntax", "line 1 column 5"),
        ('{"a":1,"b":{"c":1,"c":2}}', "payload.duplicate-key", "'c' twice"),
        ("[NaN]", "payload.number", "NaN"),
        ("-Infinity", "payload.number", "-Infinity"),
        ("1e999", "payload.invalid", "the number inf"),
        ("1" * 5000, "payload.number", ""),
        ('"\\u0000"', "payload.nul", "NUL"),
        ('"\\ud800"', "payload.invalid", "surrogate"),
        ("[" * 65 + "]" * 65, "payload.depth", "65" and "64 levels"),
    ],
)
def test_text_from_outside_is_refused_with_a_code_of_its_own(text: str, code: str, words: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse(text, "The input")
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.message.startswith("The input")


def test_text_from_outside_becomes_canonical() -> None:
    assert parse(' { "b" : 1.0 , "a" : "\\u00fc" } ') == '{"b":1.0,"a":"ü"}'


def test_doubled_member_among_very_many_is_found_in_no_time() -> None:
    """BAD-3: the check is not a chance to keep a server busy."""
    names = [*(f'"k{n}":0' for n in range(80_000)), '"k79999":1']
    began = time.perf_counter()
    with pytest.raises(PayloadError, match="holds the member 'k79999' twice"):
        parse("{" + ",".join(names) + "}", limits=Limits(bytes=2**21))
    assert time.perf_counter() - began < 2


def test_absent_is_none_and_so_is_null() -> None:
    """SRF-2."""
    assert (load(None), load("null")) == (None, None)


def test_a_doubled_member_among_a_hundred_thousand_is_found_at_once() -> None:
    text = "{" + ",".join(f'"{n:x}":0' for n in range(100_000)) + ',"1869f":1}'
    begin = time.process_time()
    with pytest.raises(PayloadError, match="'1869f' twice"):
        parse(text, limits=Limits(bytes=4 * 1024 * 1024))
    assert time.process_time() - begin < 1.0
