"""Values ↔ canonical JSON text: made at the moment of the call, so that code sees the same on replay (SRF-2, SRF-3).

Canonical means: UTF-8, no spaces, members in the order given, finite numbers, no NUL, no lone surrogates. Limits are
arguments of `Limits`, in bytes and levels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from orchestrations.errors import PayloadError

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one payload."""

    bytes: int = 1024 * 1024
    depth: int = 64


DEFAULT_LIMITS = Limits()
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
    if isinstance(value, bool | int) or value is None:
        return None
    if isinstance(value, float):
        return None if value - value == 0 else (path, f"the number {value}")
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
        if not isinstance(key, str | int | float | bool) and key is not None:
            return path, f"a key of type {type(key).__name__}"
        if bad := _find_bad(member, f"{path}.{key}", above):
            return bad
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
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise PayloadError(f"holds the member '{name}' twice.", code="payload.duplicate-key")
        found[name] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise PayloadError(f"holds {name}, which is no JSON number.", code="payload.number")
