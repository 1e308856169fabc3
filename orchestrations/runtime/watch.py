"""A few bytes that a worker shares with its supervisor: what it runs, since when, and until when it may.

The worker writes them for every activity, so it must cost next to nothing: a memory map, no system call. The
supervisor must be able to read them while the worker's code blocks in C.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_FORMAT = struct.Struct("<qddq")
NOTHING, TURN = 0, -1


@dataclass(frozen=True, slots=True)
class Activity:
    """What runs: an activity's key, `TURN` or `NOTHING`; instants by the monotonic clock. `serial` tells them apart."""

    key: int
    began: float
    deadline: float
    serial: int


class Watch:
    """One worker's bytes, in a file that both processes map."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FORMAT.size))
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(descriptor, _FORMAT.size)
        finally:
            os.close(descriptor)
        self._serial = 0

    def begin(self, key: int, seconds: float) -> None:
        """Say that something begins that may take so many seconds."""
        self._serial += 1
        began = time.monotonic()
        _FORMAT.pack_into(self._map, 0, key, began, began + seconds, self._serial)

    def end(self) -> None:
        """Say that nothing runs."""
        _FORMAT.pack_into(self._map, 0, NOTHING, 0.0, 0.0, self._serial)

    def read(self) -> Activity:
        """Return what runs."""
        return Activity(*_FORMAT.unpack_from(self._map, 0))

    def close(self) -> None:
        """Unmap the bytes."""
        self._map.close()
