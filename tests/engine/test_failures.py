"""Failures as values and as exceptions (FAIL-1…7), and what odd ones must not break (BAD-61)."""

from __future__ import annotations

import asyncio
import builtins
import dataclasses
import gc
import json
import sys
from typing import Any, cast

import pytest

from orchestrations.engine.exceptions import CUT
from orchestrations.engine.execution import TurnAborted
from orchestrations.engine.failure_types import RECENT, failure_type, raised_type, register_error
from orchestrations.engine.failures import (
    MESSAGE_LIMIT,
    TRACE_LIMIT,
    FailureDetails,
    NonRetriableError,
    TaskFailedError,
)
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.state import Status
from tests.builders import child_failed, done, failed, failure, run


class CardDeclined(Exception):
    """Declared by `register_error` below."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(code, reason)


class Unregistered(CardDeclined):
    """Known to nobody."""


register_error(CardDeclined)


def catching(*kinds: type[BaseException]) -> Any:
    """Return an orchestrator that tells what it has caught."""

    def f(context: Any) -> Any:
        try:
            return (yield context.call_activity("A"))
        except kinds as error:
            return [type(error).__name__, str(error)]

    return f


def test_failed_task_raises_with_its_facts() -> None:
    """FAIL-1."""

    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A")
        except TaskFailedError as error:
            return [str(error), error.kind, error.sequence, error.attempts, error.details.message, error.code]

    text = "i: Activity task #1 failed: too bad"
    assert run(f, failed(1, "too bad")).output == [text, "activity", 1, 1, "too bad", "task.failed"]


def test_details_name_type_bases_message_trace_and_cause() -> None:
    """FAIL-2."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as cause:
            raise FileNotFoundError("outer") from cause
    except FileNotFoundError as error:
        details = FailureDetails.from_exception(error)
    assert details.error_type == "builtins.FileNotFoundError"
    assert details.properties == {"bases": ["builtins.OSError", "builtins.Exception"]}
    assert details.message == "outer"
    assert "test_failures.py" in details.stack_trace
    assert details.inner_failure is not None
    assert (details.inner_failure.error_type, details.is_non_retriable) == ("builtins.KeyError", False)


def test_inner_failure_is_the_context_unless_it_is_suppressed() -> None:
    """FAIL-2."""
    kept, suppressed = ValueError("a"), ValueError("b")
    kept.__context__ = suppressed.__context__ = KeyError("context")
    suppressed.__suppress_context__ = True
    assert FailureDetails.from_exception(kept).inner_failure is not None
    assert FailureDetails.from_exception(suppressed).inner_failure is None


@pytest.mark.parametrize("details", [failure("x"), failure(KeyError("y")), FailureDetails("a.B", "m")])
def test_details_survive_their_json_form(details: FailureDetails) -> None:
    assert FailureDetails.from_members(details.to_members()) == details


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (FileNotFoundError, True),
        (OSError, True),
        (Exception, True),
        (KeyError, False),
        ("FileNotFoundError", True),
        ("builtins.OSError", True),
        ("OSError", True),
        ("other.OSError", False),
    ],
)
def test_cause_is_asked_by_class_or_name_with_subclasses(kind: Any, answer: bool) -> None:
    """FAIL-3."""
    assert failure(FileNotFoundError("x")).is_caused_by(kind) is answer


def test_cause_does_not_look_at_inner_failures() -> None:
    """FAIL-3."""
    outer = ValueError("outer")
    outer.__cause__ = KeyError("inner")
    assert not failure(outer).is_caused_by(KeyError)


def test_builtin_exception_can_be_caught_as_itself() -> None:
    """FAIL-4."""
    assert run(catching(ValueError), failed(1, "bad")).output == ["ValueError", "i: Activity task #1 failed: bad"]


def test_declared_exception_can_be_caught_by_its_class_without_calling_its_init() -> None:
    """FAIL-4, FAIL-5."""
    play = run(catching(CardDeclined), failed(1, CardDeclined(3, reason="limit")))
    assert play.output[0] == "CardDeclined"


def test_undeclared_exception_can_be_caught_by_its_name() -> None:
    """FAIL-4: without importing anything."""
    kind = failure_type("tests.engine.test_failures.Unregistered")
    assert failure_type("tests.engine.test_failures.Unregistered") is kind
    assert run(catching(kind), failed(1, Unregistered(1, reason="r"))).output[0] == "Unregistered"
    assert not issubclass(kind, CardDeclined)


@pytest.mark.parametrize("name", ["StopIteration", "StopAsyncIteration", "ExceptionGroup", "SystemExit", "eval", "int"])
def test_names_that_must_not_be_raised_come_as_plain_failures(name: str) -> None:
    """FAIL-5."""
    kind = failure_type(f"builtins.{name}")
    assert kind.__mro__[1] is TaskFailedError
    assert not issubclass(kind, StopIteration | StopAsyncIteration | BaseExceptionGroup)


def test_name_from_a_payload_is_never_imported() -> None:
    """FAIL-5."""
    kind = failure_type("antigravity.Thing")
    assert issubclass(kind, TaskFailedError)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "kind",
    [k for k in vars(builtins).values() if isinstance(k, type) and issubclass(k, Exception)],
    ids=lambda kind: kind.__name__,
)
def test_failure_of_every_builtin_type_can_be_made_raised_and_shown(kind: type[Exception]) -> None:
    details = FailureDetails(f"builtins.{kind.__name__}", "why")
    with pytest.raises(TaskFailedError) as caught:
        raise failure_type(details.error_type).make("text", details, kind="activity", sequence=1, attempts=2)
    assert (str(caught.value), caught.value.attempts, caught.value.details) == ("text", 2, details)
    assert "text" in repr(caught.value)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses to be written to."""

    code: int


class WithProperties(Exception):
    """Has its own idea of our facts."""

    @property
    def message(self) -> str:
        """Its own."""
        raise AssertionError

    details = kind = sequence = property(lambda self: 1 / 0)


class NewArguments(OSError):
    """Cannot be made without its arguments."""

    def __new__(cls, a: int, b: int, c: int) -> NewArguments:
        return super().__new__(cls, a, b)


@pytest.mark.parametrize("kind", [Frozen, WithProperties, NewArguments])
def test_declared_exception_of_an_odd_shape_can_be_caught_by_its_class(kind: type[Exception]) -> None:
    register_error(kind)
    details = FailureDetails(f"{kind.__module__}.{kind.__qualname__}", "odd")

    def f(context: Any) -> Any:
        try:
            yield context.task_all([context.call_activity("A")])
        except kind as error:
            failed_task = cast(TaskFailedError, error)
            return [repr(failed_task.details.message), len(failed_task.failures), str(error)]

    assert run(f, failed(1, details)).output == ["'odd'", 1, "i: Activity task #1 failed: odd"]


def test_class_that_cannot_be_combined_comes_as_a_plain_failure() -> None:
    """FAIL-5."""

    class Sealed(Exception):
        def __init_subclass__(cls) -> None:
            raise TypeError("final")

    register_error(Sealed)
    name = f"{Sealed.__module__}.{Sealed.__qualname__}"
    assert failure_type(name).__mro__[1] is TaskFailedError


def test_unhandled_task_failure_keeps_its_type_through_any_number_of_levels() -> None:
    """FAIL-6."""

    def f(context: Any) -> Any:
        yield context.call_sub_orchestrator("C")

    details = failure(CardDeclined(1, reason="r"))
    for level in range(5):
        plan = run(f, child_failed(1, details)).last
        assert plan.status is Status.FAILED
        assert plan.failure is not None
        assert plan.failure.error_type.endswith("CardDeclined")
        assert plan.failure.message.count("Sub-orchestration task #1 failed") == level + 1
        assert plan.failure.inner_failure == details
        details = plan.failure


def test_failed_tasks_are_named_at_the_end() -> None:
    """RWD-2: through cause, context and the failures of a fan-in."""

    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A")
        except TaskFailedError as error:
            try:
                yield context.task_all([context.call_activity("B"), context.call_activity("C")])
            except TaskFailedError as both:
                raise RuntimeError("all of them") from both
            raise AssertionError from error

    play = run(f, failed(1), failed(3), failed(2))
    completed = play.last.events[-2]
    assert getattr(completed, "failed_tasks", None) == (1, 2, 3)


@pytest.mark.parametrize("error", [NonRetriableError("never"), CardDeclined(1, reason="r")])
def test_non_retriable_is_said_by_class_or_declaration(error: Exception) -> None:
    """FAIL-7."""
    expected = isinstance(error, NonRetriableError)
    assert failure(error).is_non_retriable is expected

    @register_error
    class Plain(Exception):
        pass

    class Never(Exception):
        pass

    register_error(Never, non_retriable=True)
    assert (failure(Plain()).is_non_retriable, failure(Never()).is_non_retriable) == (False, True)


# --- BAD-61: odd exceptions


def test_huge_message_and_trace_are_cut_with_a_mark() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="xxx") as caught:
        deep(500)
    details = failure(caught.value)
    assert len(details.message) == MESSAGE_LIMIT
    assert details.message.endswith(CUT)
    assert len(details.stack_trace) <= TRACE_LIMIT


def test_message_keeps_nothing_that_a_database_refuses() -> None:
    details = failure(ValueError("nul \x00 surrogate \ud800 end"))
    details.message.encode()
    assert "\x00" not in details.message
    assert details.message.endswith("end")


def test_exception_that_cannot_be_shown_is_recorded_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    assert failure(Mute()).message == "<Mute without a readable message>"


def test_chain_of_causes_that_goes_in_a_circle_ends() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    details: FailureDetails | None = failure(first)
    depth = 0
    while details is not None:
        details, depth = details.inner_failure, depth + 1
    assert depth < 20


class HardStop(BaseException):
    """The author's own."""


@pytest.mark.parametrize(
    "error",
    [
        BaseException("odd"),
        BaseExceptionGroup("g", [GeneratorExit()]),
        HardStop("odd"),
        SystemExit("odd"),
        KeyboardInterrupt("odd"),
        GeneratorExit("odd"),
        asyncio.CancelledError("odd"),
        TurnAborted("odd"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_first", [True, False])
def test_whatever_an_orchestrator_raises_fails_the_instance_once_with_type_and_text(
    error: BaseException, is_first: bool
) -> None:
    def f(context: Any) -> Any:
        if is_first:
            raise error
        yield context.call_activity("A")
        raise error

    async def g(context: Any) -> Any:
        if not is_first:
            await context.call_activity("A")
        raise error

    for function in (f, g):
        play = run(function) if is_first else run(function, done(1))
        assert play.last.status is Status.FAILED
        details = play.last.failure
        assert details is not None
        assert details.error_type == f"{type(error).__module__}.{type(error).__qualname__}"
        assert details.message == str(error)


def test_handle_of_retries_that_raises_something_outside_of_exception_fails_the_instance() -> None:
    def stop(details: FailureDetails) -> bool:
        raise SystemExit(4)

    def f(context: Any) -> Any:
        yield context.call_activity("A", retry=RetryOptions(1, 3, handle=stop))

    plan = run(f, failed(1, attempt=1)).last
    assert plan.failure is not None
    assert (plan.failure.error_type, plan.failure.message) == ("builtins.SystemExit", "4")


def test_result_whose_own_code_raises_fails_the_instance() -> None:
    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise KeyboardInterrupt("items")

    plan = run(lambda context: Odd(a=1)).last
    assert plan.failure is not None
    assert plan.failure.error_type == "builtins.KeyboardInterrupt"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), HardStop(), ValueError()])
def test_body_that_raises_while_it_is_closed_lets_nothing_out(error: BaseException) -> None:
    """ORC-4."""

    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A")
        finally:
            raise error

    play = run(f)
    play.turn.close()
    assert play.turn.is_sealed


def _odd_classes() -> dict[str, type[Exception]]:
    """Return exception classes that misbehave; not of this module, whose attributes pytest looks at."""

    class OddMeta(type):
        """Answers for nothing."""

        def __eq__(cls, other: object) -> bool:
            raise SystemExit("eq")

        __hash__ = type.__hash__

        def __getattribute__(cls, name: str) -> Any:
            raise SystemExit(name)

    def _raiser(self: Any, *args: Any) -> Any:
        raise SystemExit("never")

    class OddText(Exception):
        __str__ = __repr__ = _raiser

    class OddAttributes(Exception):
        __getattribute__ = _raiser

    class OddCause(Exception):
        __cause__ = __context__ = __suppress_context__ = property(_raiser)

    class OddClass(Exception, metaclass=OddMeta):
        pass

    class OddTruth(Exception):
        __bool__ = __len__ = __eq__ = __hash__ = _raiser

    class OddModule(Exception):
        __module__ = 5  # type: ignore[assignment]

    class OddFacts(Exception):
        """Looks like a task's failure."""

        sequence: Any = [1]
        details: Any = {}
        failures: Any = 5

    class TextOfItsOwn(str):
        def replace(self, *args: Any) -> Any:
            raise SystemExit("never")

        encode = replace  # type: ignore[assignment]

    class OddString(Exception):
        def __str__(self) -> str:
            return TextOfItsOwn("text")

    return {
        "text": OddText,
        "attributes": OddAttributes,
        "cause": OddCause,
        "class": OddClass,
        "truth": OddTruth,
        "module": OddModule,
        "facts": OddFacts,
        "string": OddString,
    }


@pytest.mark.parametrize("odd_one", ["text", "attributes", "cause", "class", "truth", "module", "facts", "string"])
@pytest.mark.parametrize("is_inner", [False, True])
def test_exception_whose_class_misbehaves_is_recorded_all_the_same(odd_one: str, is_inner: bool) -> None:
    kind = _odd_classes()[odd_one]

    def f(context: Any) -> Any:
        yield context.call_activity("A")
        if not is_inner:
            raise kind("odd")
        try:
            raise kind("odd")
        except BaseException as cause:
            raise ExceptionGroup("outer", [cause]) from cause  # type: ignore[type-var]

    play = run(f, done(1))
    details = play.last.failure
    assert details is not None
    odd = details.inner_failure if is_inner else details
    assert odd is not None
    assert odd.error_type.rpartition(".")[2].startswith("Odd")
    assert FailureDetails.from_members(json.loads(json.dumps(details.to_members()))) == details


def test_task_failure_whose_facts_the_code_has_spoilt_is_recorded_all_the_same() -> None:
    def f(context: Any) -> Any:
        try:
            yield context.call_activity("A")
        except TaskFailedError as error:
            spoilt: Any = error
            spoilt.sequence, spoilt.details, spoilt.message, spoilt.failures = "x", 5, None, (1, "y")
            raise

    plan = run(f, failed(1)).last
    assert plan.failure is not None
    assert plan.failure.error_type.endswith(".ValueError")


def test_task_failure_of_the_authors_own_making_is_described_as_itself() -> None:
    def f(context: Any) -> Any:
        raise TaskFailedError("my own")

    plan = run(f).last
    assert plan.failure is not None
    assert (plan.failure.error_type, plan.failure.message) == (
        "orchestrations.engine.failures.TaskFailedError",
        "my own",
    )


def test_error_that_is_compared_with_nothing_is_recorded_all_the_same() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise SystemExit("never")

    def f(context: Any) -> Any:
        raise RuntimeError(Odd())

    assert run(f).last.status is Status.FAILED


# --- groups


def test_group_has_its_first_member_inside_and_is_what_its_members_are() -> None:
    group = ExceptionGroup("two", [ExceptionGroup("one", [ConnectionRefusedError("away")]), KeyError("k")])
    details = failure(group)
    assert details.error_type == "builtins.ExceptionGroup"
    assert details.inner_failure is not None
    assert (details.inner_failure.error_type, details.inner_failure.message) == (
        "builtins.ConnectionRefusedError",
        "away",
    )
    answers = [
        details.is_caused_by(kind) for kind in (ConnectionError, "OSError", KeyError, ExceptionGroup, ValueError)
    ]
    assert answers == [True, True, True, True, False]
    assert FailureDetails.from_members(details.to_members()) == details


def test_group_with_a_cause_has_that_inside() -> None:
    group = ExceptionGroup("g", [KeyError("k")])
    group.__cause__ = ValueError("why")
    inner = failure(group).inner_failure
    assert inner is not None
    assert inner.error_type == "builtins.ValueError"


def test_group_of_task_failures_names_their_chains_at_the_end() -> None:
    """RWD-2."""

    def f(context: Any) -> Any:
        found = []
        for task in [context.call_activity("A"), context.call_activity("B")]:
            try:
                yield task
            except TaskFailedError as error:
                found.append(error)
        raise ExceptionGroup("both", found)

    completed = run(f, failed(1), failed(2)).last.events[-2]
    assert getattr(completed, "failed_tasks", None) == (1, 2)


# --- the bases of what was raised


class CardStolen(CardDeclined):
    """Not declared itself."""


@pytest.mark.parametrize(
    ("raised_error", "kind", "is_caught"),
    [
        (json.JSONDecodeError("bad", "{", 0), ValueError, True),
        (json.JSONDecodeError("bad", "{", 0), KeyError, False),
        (CardStolen(1, reason="r"), CardDeclined, True),
        (ConnectionRefusedError("no"), ConnectionError, True),
        (ConnectionRefusedError("no"), OSError, True),
    ],
)
def test_failure_is_caught_by_every_base_that_is_builtin_or_declared(
    raised_error: Exception, kind: type[Exception], is_caught: bool
) -> None:
    """FAIL-4."""
    plan = run(catching(kind), failed(1, raised_error)).last
    assert plan.status is (Status.COMPLETED if is_caught else Status.FAILED)


def test_failure_with_known_bases_is_still_caught_by_its_name() -> None:
    """FAIL-4."""
    kind = failure_type("json.decoder.JSONDecodeError")
    assert run(catching(kind), failed(1, json.JSONDecodeError("bad", "{", 0))).output[0] == "JSONDecodeError"
    assert issubclass(raised_type(failure(json.JSONDecodeError("bad", "{", 0))), kind)


def test_bases_that_cannot_be_combined_are_left_out_one_by_one() -> None:
    """FAIL-5."""
    properties = {"bases": ["builtins.OSError", "builtins.UnicodeDecodeError", "builtins.KeyError", 5, "builtins.int"]}
    made = raised_type(FailureDetails("a.Mixed", "m", properties=properties))
    assert [issubclass(made, kind) for kind in (OSError, UnicodeDecodeError, KeyError)] == [True, False, True]
    made.make("text", FailureDetails("a.Mixed", "m"), kind="activity", sequence=1, attempts=1)


@pytest.mark.parametrize("bases", [None, 5, "builtins.ValueError", {"a": 1}])
def test_bases_that_are_none_are_ignored(bases: Any) -> None:
    details = FailureDetails("a.B", "m", properties={"bases": bases, "members": bases})
    assert raised_type(details) is failure_type("a.B")
    assert not details.is_caused_by(ValueError)


@pytest.mark.parametrize("name", ["StopIteration", "StopAsyncIteration", "ExceptionGroup", "SystemExit"])
def test_bases_that_must_not_be_raised_are_ignored(name: str) -> None:
    """FAIL-5."""
    details = FailureDetails("a.B", "m", properties={"bases": [f"builtins.{name}"]})
    assert raised_type(details) is failure_type("a.B")


def test_classes_made_for_names_from_payloads_do_not_pile_up_but_those_in_use_stay() -> None:
    held = failure_type("pile.Held")
    for number in range(2_000):
        raised_type(FailureDetails(f"pile.N{number}", "m", properties={"bases": ["builtins.ValueError"]}))
    gc.collect()
    names = {kind.__name__ for kind in TaskFailedError.__subclasses__()}
    assert failure_type("pile.Held") is held
    assert "N0" not in names
    assert len([name for name in names if name.startswith("N")]) <= RECENT


@pytest.mark.parametrize("thing", [KeyboardInterrupt, "ValueError", ValueError("x"), int])
def test_only_exception_classes_can_be_declared(thing: Any) -> None:
    with pytest.raises(TypeError, match="derives from Exception"):
        register_error(thing)
