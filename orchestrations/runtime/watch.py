"""Some bytes that a worker shares with its supervisor: that it moves, what it runs, since when, and until when it may.

The worker writes them for every activity and every step, so that must cost next to nothing: a memory map of aligned
64-bit numbers, no system call. The supervisor must be able to read them while the worker's code blocks in C.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path

NOTHING = 0
MAIN = 0
"""The place of what runs in the worker's main thread; the others belong to its lanes."""

PLACES = 1 + 256
_HEADER, _WIDTH = 4, 4
FINISHED = 1024
"""How many activities may have ended without being settled: their keys are in one of two lists, of which the header
says which counts."""

_LISTS = _HEADER + _WIDTH * PLACES
_NUMBERS = _LISTS + 2 * (1 + FINISHED)
_FORMAT = struct.Struct(f"@{_NUMBERS}q")


class State(IntEnum):
    """What a worker process does: it starts, waits for a hint (and holds nothing but what its lanes run), or works."""

    STARTING = 0
    IDLE = 1
    WORKING = 2


@dataclass(frozen=True, slots=True)
class Running:
    """What runs in one place: `key` of an activity, or minus an instance's for a turn; instants by `monotonic`.

    `serial` differs for whatever runs there later.
    """

    place: int
    serial: int
    key: int
    began: float
    deadline: float

    @property
    def activity(self) -> int | None:
        """The activity's key, None for a turn."""
        return self.key if self.key > 0 else None

    @property
    def instance(self) -> int | None:
        """The instance's key where this is a turn, else None."""
        return -self.key if self.key < 0 else None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a worker's bytes say at one instant. `moves` differs whenever the worker has made a step since."""

    moves: int
    state: State
    running: tuple[Running, ...]
    finished: frozenset[int] = frozenset()

    @property
    def main(self) -> Running | None:
        """What runs in the main thread."""
        return next((found for found in self.running if found.place == MAIN), None)


class Watch:
    """One worker's bytes, in a file that both processes map."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            file.truncate(_FORMAT.size)
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)
        self._numbers = memoryview(self._map).cast("q")

    # --- the worker's side

    def move(self) -> None:
        """Say that the worker makes progress."""
        self._numbers[0] += 1

    def enter(self, state: State) -> None:
        """Say what the worker does from now on."""
        self._numbers[1] = state
        self._numbers[0] += 1

    def begin(self, key: int, seconds: float, place: int = MAIN) -> None:
        """Say that something begins that may take so many seconds."""
        began = time.monotonic_ns()
        self._write(place, key, began, began + int(seconds * 1e9))

    def finish(self, key: int) -> None:
        """Say that an activity has ended whose result is in hand: to be said before `end`."""
        numbers, at = self._numbers, _LISTS + self._numbers[2] * (1 + FINISHED)
        count = numbers[at]
        if count < FINISHED:
            numbers[at + 1 + count] = key
            numbers[at] = count + 1

    def keep_finished(self, keys: Collection[int]) -> None:
        """Say which results are in hand still; the list of before counts until the new one is complete."""
        numbers, other = self._numbers, 1 - self._numbers[2]
        at = _LISTS + other * (1 + FINISHED)
        for place, key in enumerate(islice(keys, FINISHED)):
            numbers[at + 1 + place] = key
        numbers[at] = min(len(keys), FINISHED)
        numbers[2] = other

    def end(self, place: int = MAIN) -> None:
        """Say that nothing runs there any more."""
        self._write(place, NOTHING, 0, 0)
        self._numbers[0] += 1

    def _write(self, place: int, key: int, began: int, deadline: int) -> None:
        """Write the place between two steps of its serial: while that is odd, a reader takes the rest for no answer."""
        numbers, at = self._numbers, _HEADER + place * _WIDTH
        serial = numbers[at]
        numbers[at] = serial + 1
        numbers[at + 1] = key
        numbers[at + 2] = began
        numbers[at + 3] = deadline
        numbers[at] = serial + 2

    # --- the supervisor's side

    def read(self) -> Reading:
        """Return what the worker does. What is being written at this instant is left out."""
        first, second = _FORMAT.unpack_from(self._map, 0), _FORMAT.unpack_from(self._map, 0)
        running = []
        for place in range(PLACES):
            at = _HEADER + place * _WIDTH
            serial, key, began, deadline = first[at : at + _WIDTH]
            if key != NOTHING and serial % 2 == 0 and first[at : at + _WIDTH] == second[at : at + _WIDTH]:
                running.append(Running(place, serial, key, began / 1e9, deadline / 1e9))
        at = _LISTS + second[2] * (1 + FINISHED)
        finished = frozenset(second[at + 1 : at + 1 + second[at]])
        return Reading(second[0], State(second[1]), tuple(running), finished)

    def close(self) -> None:
        """Unmap the bytes."""
        self._numbers.release()
        self._map.close()
