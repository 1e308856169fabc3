"""Versions of orchestrators: which of two is newer, and which of several serves best (VER-3, VER-5)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key


def compare(first: str | None, second: str | None) -> int:
    """Return −1, 0 or 1: no version is the oldest, dotted numbers go by number, all else by text whatever its case."""
    if not first or not second:
        return bool(first) - bool(second)
    numbers = _numbers(first), _numbers(second)
    if numbers[0] is not None and numbers[1] is not None:
        return (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])
    texts = first.upper(), second.upper()
    return (texts[0] > texts[1]) - (texts[0] < texts[1])


def choose(wanted: str | None, held: Iterable[str | None]) -> str | None:
    """Return the version that serves `wanted`: the very same, else one that compares equal, else the newest.

    Raises `ValueError` if none is held.
    """
    found = list(held)
    if wanted in found:
        return wanted
    versions = sorted(found, key=lambda version: version or "")  # whatever the order of registration, one answer
    equal = [version for version in versions if compare(version, wanted) == 0]
    return max(equal or versions, key=cmp_to_key(compare))


def _numbers(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a dotted version without zeros at its end, so that 1.0 is 1; None for other texts."""
    parts = version.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
