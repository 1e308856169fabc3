"""`python -m durableweb.launcher.changes APP…`: sees when one's own files change, and asks the launcher to start anew
what runs them. A process of its own, for the launcher forks and must have no threads.

A folder that goes away and comes back, as it does when a branch is checked out, is watched again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import watchfiles

from durableweb.launcher import parts
from durableweb.own_apps import UnusableApp, find

PAUSE_SECONDS = 0.5
LOOK_MILLISECONDS = 1000
"""How often it looks whether a folder was replaced, which is no change of a file in it."""

MIGRATE_SECONDS = 120


def main(entries: Sequence[str]) -> None:
    """Watch until the launcher ends: a folder as a whole, and of a file its folder, since editors replace files."""
    parent = os.getppid()
    places = [place for entry in entries if (place := _place(entry)) is not None]
    files = {place for place in places if place.suffix == ".py"}
    folders = set(places) - files
    if folders:
        threading.Thread(target=_watch, args=(folders, parent), kwargs={"recursive": True}, daemon=True).start()
    if files:
        beside = {place.parent for place in files}
        threading.Thread(target=_watch, args=(beside, parent), kwargs={"recursive": False}, daemon=True).start()
    while os.getppid() == parent:
        time.sleep(PAUSE_SECONDS)


def _place(entry: str) -> Path | None:
    try:
        return find(entry).place
    except UnusableApp:
        path = Path(entry)
        return path if path.is_absolute() else None  # it may come back


def _watch(places: set[Path], parent: int, *, recursive: bool) -> None:
    known = _identities(places)
    while True:
        there = [place for place, identity in known.items() if identity]
        for changes in watchfiles.watch(
            *there,
            watch_filter=watchfiles.PythonFilter(),
            recursive=recursive,
            yield_on_timeout=True,
            rust_timeout=LOOK_MILLISECONDS,
        ):
            found = _identities(places)
            if changes or found != known:
                _tell({Path(path) for _, path in changes}, parent)
            if found != known:
                break
        known = _identities(places)


def _identities(places: set[Path]) -> dict[Path, int]:
    """Return place → its inode, 0 where there is nothing."""
    return {place: place.stat().st_ino if place.exists() else 0 for place in places}


def _tell(changed: set[Path], parent: int) -> None:
    names = ", ".join(sorted(path.name for path in changed)) or "a folder"
    print(f"  {names} changed; starting the web server and the workers again", flush=True)
    if any(path.parent.name == "migrations" for path in changed):
        command = parts.manage("migrate", "--no-input", "--verbosity", "0")
        subprocess.run(command, timeout=MIGRATE_SECONDS, check=False)
    os.kill(parent, signal.SIGUSR1)


if __name__ == "__main__":
    main(sys.argv[1:])
