"""Values ↔ canonical JSON text: made at the moment of the call, so that code sees the same on replay (SRF-2, SRF-3).

Canonical means: UTF-8, no spaces, members in the order given, finite numbers, no NUL, no lone surrogates. Limits are
arguments of `Limits`, in bytes and levels.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

from orchestrations.errors import PayloadError

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_sorted = json.JSONEncoder(sort_keys=True).encode
_ODD_KEY = re.compile(r'"(?:-?[0-9][0-9.e+-]*|true|false|null)":')
"""What the name of a member looks like that may have come from a number, a truth value or None."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one payload."""

    bytes: int = 1024 * 1024
    depth: int = 64


DEFAULT_LIMITS = Limits()
UNLIMITED = Limits(bytes=sys.maxsize, depth=sys.maxsize)
"""For what a history holds already: limits count only for what is new (LIM-1)."""
LEVELS_LOOKED_AT = 200
"""How deep an error's path is looked for: far below what the stack can hold, wherever the call comes from."""


def dump(value: Any, what: str = "The value", limits: Limits = DEFAULT_LIMITS) -> str:
    """Return the value as canonical JSON text.

    Raises `PayloadError`: `result.not-serializable` with the path of what is no JSON, or `payload.too-large`.
    """
    try:
        text = _encode(value)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise not_serializable(value, what) from None
    if size > limits.bytes:
        raise PayloadError.too_large(what, size, limits.bytes)
    if text.count("[") + text.count("{") > limits.depth and depth_of(text) > limits.depth:
        raise PayloadError(f"{what} is nested deeper than {limits.depth} levels.", code="result.not-serializable")
    if _ODD_KEY.search(text) and (doubled := _find_doubled_key(value)) is not None:
        where, keys = doubled
        message = f"{what} is not JSON: {keys} are one name at {where}."
        raise PayloadError(message, code="result.not-serializable", pointer=where)
    if "\\u0000" in text and (path := _find(value, lambda v: isinstance(v, str) and "\x00" in v)) is not None:
        raise PayloadError(f"{what} is not JSON: a NUL character at {path}.", code="result.not-serializable")
    return text


def load(text: str | None) -> Any:
    """Return the value of stored text; absent becomes None."""
    return None if text is None else json.loads(text)


def parse(text: str, what: str = "The input", limits: Limits = DEFAULT_LIMITS) -> str:
    """Check JSON text that comes from outside and return it in canonical form.

    Raises `PayloadError`: `json.syntax` with line and column, `payload.too-large`, or `payload.<what is wrong>`.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.bytes:
        raise PayloadError.too_large(what, size, limits.bytes)
    if text.count("[") + text.count("{") > limits.depth and depth_of(text) > limits.depth:
        raise PayloadError(f"{what} is nested deeper than {limits.depth} levels.", code="payload.depth")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PayloadError(
            f"{what} is not valid JSON: line {error.lineno} column {error.colno}: {error.msg}.", code="json.syntax"
        ) from None
    except PayloadError as error:
        raise PayloadError(f"{what} {error.message}", code=error.code) from None
    except (ValueError, RecursionError) as error:
        raise PayloadError(
            f"{what} holds a number or text that cannot be kept: {error}", code="payload.number"
        ) from None
    try:
        return dump(value, what, limits)
    except PayloadError as error:
        code = "payload.nul" if "NUL" in error.message else error.code
        raise PayloadError(
            error.message, code=code if code != "result.not-serializable" else "payload.invalid"
        ) from None


def depth_of(text: str) -> int:
    """Return the nesting of JSON text without parsing it, so that hostile depth costs no stack."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def not_serializable(value: Any, what: str) -> PayloadError:
    """Return the error that names type and path of the first part that is no JSON."""
    path, kind = _find_bad(value, "$", set()) or ("$", type(value).__name__)
    return PayloadError(f"{what} is not JSON: {kind} at {path}.", code="result.not-serializable", pointer=path)


def _find_bad(value: Any, path: str, above: set[int]) -> tuple[str, str] | None:
    if isinstance(value, str):
        return None if value.isascii() or not _has_surrogate(value) else (path, "a lone surrogate")
    if value is None or isinstance(value, int | float):
        return (path, wrong) if (wrong := _bad_number(value)) else None
    if id(value) in above or len(above) > LEVELS_LOOKED_AT:
        return path, "a circular or endless structure"
    above = above | {id(value)}
    if isinstance(value, list | tuple):
        return next((bad for i, v in enumerate(value) if (bad := _find_bad(v, f"{path}[{i}]", above))), None)
    if isinstance(value, dict):
        return _find_bad_member(value, path, above)
    return path, type(value).__name__


def _find_bad_member(value: dict[Any, Any], path: str, above: set[int]) -> tuple[str, str] | None:
    for key, member in value.items():
        if wrong := _bad_key(key):
            return path, f"a key {wrong}"
        if bad := _find_bad(member, f"{path}.{key}", above):
            return bad
    return None


def _bad_key(key: Any) -> str | None:
    if isinstance(key, str):
        return "with a lone surrogate" if not key.isascii() and _has_surrogate(key) else None
    if key is None or isinstance(key, int | float):
        return f"that is {bad}" if (bad := _bad_number(key)) else None
    return f"of type {type(key).__name__}"


def _bad_number(value: float | None) -> str | None:
    if isinstance(value, float):
        return None if value - value == 0 else f"the number {value}"
    try:
        str(value)
    except ValueError:
        return f"a number of more than {sys.get_int_max_str_digits():,} digits"
    return None


def _find_doubled_key(value: Any) -> tuple[str, str] | None:
    """Return path and keys of two members that have one name in JSON, as 1 and "1" have.

    Only keys of several types can be so; sorting them fails, which costs less than to look at each.
    """
    try:
        _encode_sorted(value)
    except TypeError:
        return _look_for_doubled_key(value, "$")
    return None


def _look_for_doubled_key(value: Any, path: str) -> tuple[str, str] | None:
    if isinstance(value, dict):
        names: dict[str, Any] = {}
        for key in value:
            name = key if isinstance(key, str) else _encode(key)
            if name in names:
                return path, f"the keys {names[name]!r} and {key!r}"
            names[name] = key
    elif not isinstance(value, list | tuple):
        return None
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        inner = f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]"
        if found := _look_for_doubled_key(member, inner):
            return found
    return None


def _find(value: Any, wanted: Any, path: str = "$") -> str | None:
    if wanted(value):
        return path
    members: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, member in members:
        if isinstance(key, str) and wanted(key):
            return f"{path}.<key>"
        if (found := _find(member, wanted, f"{path}.{key}")) is not None:
            return found
    return None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise PayloadError(f"holds the member '{twice}' twice.", code="payload.duplicate-key")
    return found


def _refuse_constant(name: str) -> Any:
    raise PayloadError(f"holds {name}, which is no JSON number.", code="payload.number")
