"""What a durable function may look like, and how many parameters it takes (ORC-1, ACT-1)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from orchestrations.authoring.activity_context import ActivityContext

Parameter = inspect.Parameter
CONTEXT_NAMES = ("context", "ctx")
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def check_orchestrator(target: Any) -> int:
    """Return whether it takes `(context)` or `(context, input)`, as a number. Raises `TypeError` with what is wrong."""
    parameters = _positional(target, "orchestrator")
    if not 1 <= len(parameters) <= 2:
        raise TypeError(f"{_title(target)} must take (context) or (context, input), not {_shown(parameters)}.")
    if inspect.isasyncgenfunction(target):
        raise TypeError(f"{_title(target)} is an async def that yields. Await the tasks, or drop the async.")
    return len(parameters)


def check_activity(target: Any) -> int:
    """Return whether it takes `()`, `(input)` or `(context, input)`, as a number.

    Raises `TypeError` with what is wrong, for instance for two parameters of which the first is no context.
    """
    parameters = _positional(target, "activity")
    if len(parameters) > 2 or (len(parameters) == 2 and not _is_context(parameters[0])):
        raise TypeError(
            f"{_title(target)} takes {_shown(parameters)}, but an activity takes (), (input) or (context, input), "
            "where the first is named 'context' or annotated as ActivityContext. Put several values into one input, "
            "for instance a dict."
        )
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise TypeError(f"{_title(target)} is a generator. An activity returns its result.")
    return len(parameters)


def _positional(target: Any, kind: str) -> list[Parameter]:
    """Return the parameters that a call by position fills; the others must do without."""
    if not callable(target):
        raise TypeError(f"@{kind} decorates a function, not {target!r}. Give arguments by name: @{kind}(name=…).")
    parameters = list(inspect.signature(target).parameters.values())
    for parameter in parameters:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise TypeError(f"{_title(target)} takes *{parameter.name}: an {kind} needs named parameters.")
        if parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty:
            raise TypeError(f"{_title(target)} needs {parameter.name}= by name, which nobody can give to an {kind}.")
    return [parameter for parameter in parameters if parameter.kind in _POSITIONAL]


def _is_context(parameter: Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is ActivityContext or (isinstance(annotation, str) and "ActivityContext" in annotation):
        return True
    name = parameter.name.strip("_")
    return name in CONTEXT_NAMES or not name


def _title(target: Callable[..., Any]) -> str:
    return getattr(target, "__qualname__", repr(target))


def _shown(parameters: list[Parameter]) -> str:
    names = (p.name if p.default is Parameter.empty else f"{p.name}={p.default!r:.40}" for p in parameters)
    return f"({', '.join(names)})"
