"""What can be told of somebody else's exception, without running what its class defines where that can be avoided.

A class may override attributes, its metaclass names, and `__str__` may raise anything, `SystemExit` included: whoever
records a failure must not fail by it, so that nothing in here raises. Not even the truth of an exception is asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from typing import Any, cast

CUT = " … (cut)"
NAME_LIMIT = 512
MEMBER_LIMIT = 32

_NAME, _QUALNAME, _MODULE, _MRO = (type.__dict__[n] for n in ("__name__", "__qualname__", "__module__", "__mro__"))
_CAUSE, _CONTEXT, _SUPPRESSED, _DICT = (
    BaseException.__dict__[n] for n in ("__cause__", "__context__", "__suppress_context__", "__dict__")
)
_MEMBERS = BaseExceptionGroup.__dict__["exceptions"]


def name_of(kind: type) -> str:
    """Return the class's own name, as in `ValueError`."""
    return cut(_NAME.__get__(kind), NAME_LIMIT)


def qualified_name(kind: type) -> str:
    """Return module and name, as in `builtins.ValueError`."""
    try:
        module = _MODULE.__get__(kind)
    except AttributeError:  # it was deleted
        module = None
    return cut(f"{module if type(module) is str else '?'}.{_QUALNAME.__get__(kind)}", NAME_LIMIT)


def base_names(kind: type) -> list[str]:
    """Return the qualified names of its base classes in order of resolution, without those that all exceptions have."""
    return [qualified_name(base) for base in _MRO.__get__(kind)[1:] if base is not BaseException and base is not object]


def cause_of(error: BaseException) -> BaseException | None:
    """Return its cause, else its context unless that is suppressed (FAIL-2)."""
    found = _CAUSE.__get__(error)
    if found is None and not _SUPPRESSED.__get__(error):
        found = _CONTEXT.__get__(error)
    return cast("BaseException | None", found)


def links_of(error: BaseException) -> list[BaseException]:
    """Return cause, context and the members of a group: all exceptions that it names itself."""
    linked = (_CAUSE.__get__(error), _CONTEXT.__get__(error), *members_of(error))
    return [other for other in linked if other is not None]


def members_of(error: BaseException) -> list[BaseException]:
    """Return the first members of an exception group that are no groups themselves; nothing for other exceptions."""
    found: list[BaseException] = []
    todo = [error]
    while todo and len(found) < MEMBER_LIMIT:
        current = todo.pop()
        if issubclass(type(current), BaseExceptionGroup):
            todo += reversed(_MEMBERS.__get__(current))
        elif current is not error:
            found.append(current)
    return found


def names_of_all(errors: Iterable[BaseException]) -> list[str]:
    """Return the names of the exceptions' classes and their bases, each once."""
    names = (name for error in errors for name in (qualified_name(type(error)), *base_names(type(error))))
    return list(dict.fromkeys(names))


def text_of(error: BaseException) -> str:
    """Return its message."""
    try:
        return "".join((str(error),))  # a plain text, where a subclass of `str` comes back
    except BaseException:
        return f"<{name_of(type(error))} without a readable message>"


def trace_of(error: BaseException) -> str:
    """Return its traceback, the last 50 levels; empty if it cannot be shown."""
    try:
        lines: Sequence[str] = traceback.format_exception(
            type(error), error, error.__traceback__, limit=-50, chain=False
        )
        return "".join(lines)
    except BaseException:
        return ""


def facts_of(error: BaseException) -> dict[str, Any]:
    """Return the attributes that were set on the exception itself; what is set in here is set on it."""
    return cast(dict[str, Any], _DICT.__get__(error))


def cut(text: str, limit: int) -> str:
    """Return the text, shortened to `limit` characters with a mark, without what databases refuse."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return clean if len(clean) <= limit else clean[: limit - len(CUT)] + CUT
