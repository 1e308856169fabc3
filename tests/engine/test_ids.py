"""Ids and names: what is refused, and what is derived (INS-1, SUB-1)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrations.engine.ids import check_instance_id, check_name, child_id
from orchestrations.errors import InvalidError


@pytest.mark.parametrize("text", ["a", "...", ".a", "x" * 256, "Ümläut", "a b", "a@b", "a:1", "日本"])
def test_good_instance_ids_are_returned_as_they_are(text: str) -> None:
    assert check_instance_id(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "length 0"),
        ("x" * 257, "length 257"),
        ("@entity", "starts with '@'"),
        (".", "'.' cannot stand in a URL"),
        ("..", "'..' cannot stand in a URL"),
        ("a/b", "character 2 is '/'"),
        ("a\\b", r"character 2 is '\\\\'"),
        ("ab#", "character 3 is '#'"),
        ("?", "character 1 is"),
        ("a\nb", "character 2 is"),
        ("a\x7f", "character 2 is"),
        ("a\ud800", "character 2 is"),
        (5, "length int"),
        (None, "length NoneType"),
    ],
)
def test_bad_instance_ids_are_refused_with_character_and_rule(text: Any, words: str) -> None:
    """INS-1."""
    with pytest.raises(InvalidError, match=words) as caught:
        check_instance_id(text)
    assert caught.value.code == "instance-id.invalid"
    assert "1 to 256 characters" in caught.value.message


@pytest.mark.parametrize("text", ["", "x" * 257, "a\x00", 5])
def test_bad_names_are_refused(text: Any) -> None:
    with pytest.raises(InvalidError, match="The name of an event must") as caught:
        check_name(text, "The name of an event")
    assert caught.value.code == "name.invalid"


@pytest.mark.parametrize(
    ("parent", "number", "attempt", "expected"),
    [
        ("p", 1, 1, "p:0123abcd:0001"),
        ("p", 0xABCD, 1, "p:0123abcd:abcd"),
        ("p", 1, 3, "p:0123abcd:0001.3"),
        ("p", 0x12345, 1, "p:0123abcd:12345"),
    ],
)
def test_child_ids_are_made_from_parent_execution_number_and_attempt(
    parent: str, number: int, attempt: int, expected: str
) -> None:
    """SUB-1."""
    assert child_id(parent, "0123abcd" * 4, number, attempt) == expected


def test_child_id_that_would_be_too_long_is_a_digest_and_stays_good() -> None:
    """SUB-1."""
    ids = {child_id("p" * 254, execution, number, 1) for number in range(1, 50) for execution in ("a", "b")}
    assert {len(i) for i in ids} == {32}
    assert len(ids) == 98
    assert all(check_instance_id(i) for i in ids)
