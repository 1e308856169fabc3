"""@orchestrator and @activity, and the registry that they fill (ORC-1, ORC-3, VER-5, FAIL-4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrations import ActivityContext, activity, failure_type, orchestrator
from orchestrations.authoring import decorators
from orchestrations.authoring.registry import (
    ACTIVITY,
    ORCHESTRATOR,
    DuplicateFunctionError,
    Function,
    Registry,
    name_of,
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

    with pytest.raises(DuplicateFunctionError, match=r"'twice': .*first .*line \d+\) and .*second .*line \d+\)\."):
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
    ("held", "wanted", "expected"),
    [
        (["9", "10"], None, "10"),
        (["1.9", "1.10"], None, "1.10"),
        ([None, "9", "10"], None, None),
        ([None, "9", "10"], "3", "10"),
        ([None, "1"], "2", "1"),
        (["beta", "ALPHA"], None, "beta"),
        (["1.0", "2"], "1", "1.0"),
    ],
)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_very_version_is_preferred_then_the_newest(
    registry: Registry, held: list[str | None], wanted: str | None, expected: str | None, is_reversed: bool
) -> None:
    """VER-3, VER-5: whatever the order in which they were declared."""
    for version in reversed(held) if is_reversed else held:
        orchestrator(name="f", version=version)(lambda context: None)
    assert registry.get(ORCHESTRATOR, "f", wanted).version == expected


def test_second_function_of_a_name_in_one_module_is_refused() -> None:
    """Also where Python itself would forget the first."""

    @activity
    def twice() -> None: ...

    with pytest.raises(DuplicateFunctionError, match="Two activity functions are named 'twice'"):

        @activity
        def twice() -> None: ...


def test_module_that_is_loaded_again_declares_the_same_functions_again(registry: Registry) -> None:
    """Also where a line above them was added meanwhile."""
    source = "from orchestrations.authoring import decorators\n@decorators.activity(name='again')\ndef again(): ...\n"
    first: dict[str, Any] = {"__name__": "reloaded"}
    changed = dict(first)
    exec(compile(source, "reloaded.py", "exec"), first)
    exec(compile(source, "reloaded.py", "exec"), first)
    exec(compile("import os\n" + source, "reloaded.py", "exec"), changed)
    assert registry.get(ACTIVITY, "again").call is changed["again"]


@pytest.mark.parametrize(
    ("decorate", "function", "words"),
    [
        (orchestrator, lambda: None, r"must take \(context\) or \(context, input\), not \(\)"),
        (orchestrator, lambda a, b, c: None, r"not \(a, b, c\)"),
        (orchestrator, lambda *a: None, r"takes \*a"),
        (orchestrator, lambda c, *, more: None, "needs more= by name"),
        (orchestrator, "E1_Hello", r"decorates a function, not 'E1_Hello'. Give arguments by name"),
        (
            activity,
            lambda a, b, c: None,
            r"takes \(a, b, c\), but an activity takes \(\), \(input\) or \(context, input\)",
        ),
        (
            activity,
            lambda name, greeting="Hello": None,
            r"takes \(name, greeting='Hello'\).* Put several values into one",
        ),
        (activity, lambda order, amount: None, "first is named 'context' or annotated as ActivityContext"),
        (activity, lambda *a: None, r"takes \*a"),
        (activity, lambda *, more: None, "needs more= by name"),
        (activity, "Render", r"decorates a function"),
    ],
)
def test_function_that_cannot_be_called_is_refused_when_it_is_declared(
    registry: Registry, decorate: Any, function: Any, words: str
) -> None:
    """ORC-1, ACT-1."""
    with pytest.raises(TypeError, match=words):
        decorate(function)
    assert list(registry.functions()) == []


def test_activity_may_take_its_context_and_an_optional_input(registry: Registry) -> None:
    """ACT-1."""

    @activity
    def by_name(context: Any, value: int = 3) -> None: ...

    @activity
    def by_annotation(me: ActivityContext, value: int = 3) -> None: ...

    @activity
    def unused(_: Any, value: int) -> None: ...

    @activity
    def optional(value: int = 3, *, more: int = 4, **rest: Any) -> None: ...

    found = {function.name: function.parameters for function in registry.functions()}
    assert found == {"by_name": 2, "by_annotation": 2, "unused": 2, "optional": 1}


def test_generators_of_the_wrong_kind_are_refused_when_they_are_declared() -> None:
    """ORC-1, ACT-1."""

    async def both(context: Any) -> Any:
        yield context

    def many(value: Any) -> Any:
        yield value

    with pytest.raises(TypeError, match="async def that yields"):
        orchestrator(both)
    for function in (both, many):
        with pytest.raises(TypeError, match="is a generator"):
            activity(function)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"timeout": "5"}, InvalidError, "must be a timedelta or a number of seconds, not str"),
        ({"timeout": 0}, InvalidError, "must be more than 0, not 0"),
        ({"timeout": timedelta(seconds=-1)}, InvalidError, "must be more than 0"),
        ({"timeout": True}, InvalidError, "not bool"),
        ({"timeout": float("inf")}, InvalidError, "finite"),
        ({"queue": "x" * 51}, InvalidError, "1 to 50 letters"),
        ({"queue": ""}, InvalidError, "1 to 50 letters"),
        ({"queue": "a b"}, InvalidError, "not 'a b'"),
        ({"queue": "main.slow"}, InvalidError, "not 'main.slow'"),
        ({"queue": 5}, InvalidError, "not 5"),
        ({"name": 5}, InvalidError, "1 to 256 characters"),
        ({"name": ""}, InvalidError, "1 to 256 characters"),
        ({"at_most_once": "yes"}, TypeError, "must be True or False, not 'yes'"),
        ({"raises": "ValueError"}, TypeError, "classes that derive from Exception, not 'ValueError'"),
        ({"raises": [KeyboardInterrupt]}, TypeError, "classes that derive from Exception"),
        ({"raises": [ValueError("x")]}, TypeError, "classes that derive from Exception"),
    ],
)
def test_argument_that_breaks_a_rule_is_refused_when_it_is_declared(
    registry: Registry, arguments: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        activity(**arguments)(lambda value: None)
    assert list(registry.functions()) == []


@pytest.mark.parametrize("version", ["x" * 257, "", "a\x00", 2])
def test_version_that_breaks_the_rule_is_refused_when_it_is_declared(version: Any) -> None:
    with pytest.raises(InvalidError, match="The version of an orchestrator"):
        orchestrator(name="f", version=version)(lambda context: None)


def test_one_class_may_be_declared_without_a_list() -> None:
    class Alone(Exception):
        pass

    activity(raises=Alone)(lambda value: None)  # type: ignore[call-overload]
    assert issubclass(failure_type(f"{Alone.__module__}.{Alone.__qualname__}"), Alone)


@pytest.mark.parametrize("name", ["x" * 257, "a\nb"])
def test_bad_name_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(InvalidError):
        activity(name=name)(lambda: None)


def test_unknown_name_is_answered_with_near_ones(registry: Registry) -> None:
    """docs/errors.md."""

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
        name_of(ORCHESTRATOR, work)


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
        name_of(ACTIVITY, function)


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
