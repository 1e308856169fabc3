"""@orchestrator and @activity, and the registry that they fill (ORC-1, ORC-3, VER-5, FAIL-4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrations import activity, failure_type, orchestrator
from orchestrations.authoring import decorators
from orchestrations.authoring.registry import (
    ACTIVITY,
    ORCHESTRATOR,
    DuplicateFunctionError,
    Function,
    Registry,
)
from orchestrations.errors import InvalidError, NotRegisteredError


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry, so that nothing here is seen elsewhere."""
    empty = Registry()
    monkeypatch.setattr(decorators, "registry", empty)
    return empty


def test_decorated_function_stays_the_function_and_is_found_by_its_name(registry: Registry) -> None:
    @orchestrator
    def greet(context: Any) -> str:
        return "hello"

    assert greet(None) == "hello"
    assert registry.get(ORCHESTRATOR, "greet").call is greet


def test_name_queue_and_timeout_may_be_given(registry: Registry) -> None:
    @activity(name="Render", queue="gpu", timeout=90, at_most_once=True)
    def render(value: int) -> int:
        return value

    found = registry.get(ACTIVITY, "Render")
    assert (found.queue, found.timeout, found.at_most_once, found.parameters) == ("gpu", timedelta(seconds=90), True, 1)


def test_kinds_have_names_of_their_own(registry: Registry) -> None:
    @orchestrator(name="same")
    def one(context: Any) -> None: ...

    @activity(name="same")
    def two() -> None: ...

    assert registry.get(ORCHESTRATOR, "same").call is one
    assert registry.get(ACTIVITY, "same").call is two


def test_second_function_of_a_name_is_refused_and_both_are_named(registry: Registry) -> None:
    @activity(name="twice")
    def first() -> None: ...

    def second() -> None: ...

    with pytest.raises(DuplicateFunctionError, match=r"'twice': .*first and .*second"):
        activity(name="twice")(second)


def test_versions_of_a_name_stand_side_by_side(registry: Registry) -> None:
    """VER-5."""

    @orchestrator(name="f", version="1")
    def old(context: Any) -> None: ...

    @orchestrator(name="f", version="2")
    def new(context: Any) -> None: ...

    assert registry.get(ORCHESTRATOR, "f", "1").call is old
    assert registry.get(ORCHESTRATOR, "f", "2").call is new


@pytest.mark.parametrize(
    ("decorate", "function", "words"),
    [
        (orchestrator, lambda: None, "must take 1 to 2 positional parameters, not 0"),
        (orchestrator, lambda a, b, c: None, "not 3"),
        (activity, lambda a, b, c: None, "must take 0 to 2 positional parameters, not 3"),
    ],
)
def test_wrong_number_of_parameters_is_refused_when_it_is_declared(decorate: Any, function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        decorate(function)


@pytest.mark.parametrize("name", ["x" * 257, "a\nb"])
def test_bad_name_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(InvalidError):
        activity(name=name)(lambda: None)


def test_unknown_name_is_answered_with_near_ones(registry: Registry) -> None:
    """§18."""

    @orchestrator(name="E1_HelloSequence")
    def hello(context: Any) -> None: ...

    with pytest.raises(NotRegisteredError) as caught:
        registry.get(ORCHESTRATOR, "E1_HeloSequence")
    assert caught.value.code == "orchestrator.unknown"
    expected = "A 'E1_HeloSequence' orchestrator was not registered. Did you mean 'E1_HelloSequence'?"
    assert caught.value.message == expected


def test_function_of_the_wrong_kind_is_refused_and_both_kinds_are_named(registry: Registry) -> None:
    """ORC-3."""

    @activity
    def work() -> None: ...

    with pytest.raises(ValueError, match="'work' is an activity, but an orchestrator is needed here"):
        registry.name_of(ORCHESTRATOR, work)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("", "function_name cannot be empty"),
        (len, "decorate it with @activity"),
        (lambda: None, "is not a durable function"),
        ("x" * 257, "1 to 256 characters"),
        ("a\x00", "control characters"),
    ],
)
def test_what_is_no_function_name_is_refused(registry: Registry, function: Any, words: str) -> None:
    """ORC-3."""
    with pytest.raises(ValueError, match=words):
        registry.name_of(ACTIVITY, function)


def test_raised_classes_are_declared() -> None:
    """FAIL-4."""

    class OutOfStock(Exception):
        pass

    @activity(raises=[OutOfStock])
    def order() -> None: ...

    name = f"{OutOfStock.__module__}.{OutOfStock.__qualname__}"
    assert issubclass(failure_type(name), OutOfStock)


def test_fingerprint_tells_code_apart(registry: Registry) -> None:
    """NDT-6."""

    def first(context: Any) -> int:
        return 1

    def second(context: Any) -> int:
        return 2

    prints = []
    for function in (first, second, first):
        other = Registry()
        other.add(Function(ORCHESTRATOR, "f", function, 1))
        prints.append(other.fingerprint())
    assert prints[0] != prints[1]
    assert prints[0] == prints[2]
