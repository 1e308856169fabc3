"""Imports the modules that hold durable functions. One that fails costs its own functions, and nobody else's.

A worker without a function leaves that function's work to others, and the instance says what is missing; a worker that
does not start serves nobody. What went wrong is kept as one line a module, for `manage.py check`, `manage.py durable`,
the worker supervisor's log and the health page to show.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from django.apps import apps
from django.core.checks import CheckMessage, Warning
from django.utils.module_loading import module_has_submodule

from orchestrations.authoring.registry import Function, registry
from orchestrations.conf import conf

T = TypeVar("T")

MODULE = "durable"
REASON_LIMIT = 500
_ROOT = Path(__file__).parents[1]
_OURS = ("<", f"{_ROOT}/orchestrations/", f"{_ROOT}/durableweb/", str(Path(importlib.__file__).parent))
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass(frozen=True, slots=True)
class Problem:
    """A module or an app that cannot be used, and why: file, line and exception."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} cannot be used: {self.reason}"


_problems: list[Problem] = []


def list_problems() -> Sequence[Problem]:
    """Return what this process could not import, in the order in which it was tried."""
    return tuple(_problems)


def attempt(name: str, action: Callable[[], T]) -> T | None:
    """Return what `action` returns; None, and one problem more, if it raises.

    What a module has registered before it failed goes with it: half of a module's functions are no working whole.
    """
    try:
        return action()
    except (Exception, SystemExit) as error:
        registry.discard(partial(_is_void, name))
        report(name, describe(error))
        return None


def report(name: str, reason: str) -> None:
    """Keep a problem, unless its cause has been told already."""
    if all(known.reason != reason for known in _problems):
        _problems.append(Problem(name, reason))


def import_functions() -> None:
    """Import the module `durable` of each installed app, and what `DURABLE_MODULES` names."""
    found = [f"{config.name}.{MODULE}" for config in apps.get_app_configs() if _has_functions(config.module)]
    for name in [*found, *conf.MODULES]:
        attempt(name, partial(importlib.import_module, name))


def describe(error: BaseException) -> str:
    """Return where it happened in the author's code, and what, in one line."""
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        place, text = f"{error.filename}, line {error.lineno}: ", str(error.msg)
    else:
        place = _place(error)
    return f"{place}{type(error).__name__}: {' '.join(text.split())}"[:REASON_LIMIT]


def check_functions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W021: a module with functions that cannot be imported; a warning, since all others work."""
    hint = "Mend it, and start the workers again; `make run` does that by itself."
    return [Warning(f"{str(problem).rstrip('.')}.", hint=hint, id="orchestrations.W021") for problem in _problems]


def _has_functions(module: Any) -> bool:
    return module_has_submodule(module, MODULE)


def _place(error: BaseException) -> str:
    """Return the innermost line that is the author's: neither Python's, nor a library's, nor ours."""
    frames = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    lines = [(file, number) for file, number in frames if not file.startswith(_OURS)]
    own = [(file, number) for file, number in lines if not file.startswith(_LIBRARIES)]
    return "{}, line {}: ".format(*(own or lines)[-1]) if lines else ""


def _is_void(name: str, function: Function) -> bool:
    """Tell whether a function is of the module that failed, or of one that failed with it and is not imported."""
    module = getattr(function.call, "__module__", "")
    return module == name or module.startswith(f"{name}.") or module not in sys.modules
