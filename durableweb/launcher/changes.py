"""`python -m durableweb.launcher.changes APP…`: sees when one's own files change, and asks the launcher to start anew
what runs them. A process of its own, for the launcher forks and must have no threads.

A folder that goes away and comes back, as it does when a branch is checked out, is watched again.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import watchfiles

from durableweb.launcher import parts
from durableweb.own_apps import PACKAGE, UnusableApp, find

PAUSE_SECONDS = 0.5
LOOK_MILLISECONDS = 1000
"""How often it looks whether a folder was replaced, which is no change of a file in it."""

MIGRATE_SECONDS = 120


def main(entries: Sequence[str]) -> None:
    """Watch until the launcher ends: a folder as a whole, and of a file its folder, since editors replace files."""
    parent = os.getppid()
    places = {place for entry in entries if (place := watched_place(entry)) is not None}
    files = {place for place in places if place.suffix == ".py"}
    for group, chosen in ((places - files, None), ({place.parent for place in files}, files)):
        if group:
            threading.Thread(target=_watch, args=(group, chosen, parent), daemon=True).start()
    while os.getppid() == parent:
        time.sleep(PAUSE_SECONDS)


def watched_place(entry: str) -> Path | None:
    """Return the outermost package that the entry is in, for apps import from each other; else the place itself."""
    try:
        place = find(entry).place
    except UnusableApp:
        place = Path(entry) if Path(entry).is_absolute() else None  # it may come back
    while place is not None and (place.parent / PACKAGE).exists():
        place = place.parent
    return place


def _watch(folders: set[Path], files: set[Path] | None, parent: int) -> None:
    """Tell of changes for ever: again where a folder was replaced, and by looking where the system cannot tell."""
    polling = False
    while True:
        try:
            _watch_once(folders, files, parent, polling=polling)
        except FileNotFoundError:  # a folder has gone in this moment
            time.sleep(PAUSE_SECONDS)
        except (OSError, RuntimeError) as error:
            print(f"  changes are looked for every second, as the system cannot tell of them: {error}", flush=True)
            polling = True


def _watch_once(folders: set[Path], files: set[Path] | None, parent: int, *, polling: bool) -> None:
    """Tell of every change in the folders, or, given files, of theirs and of neighbours that they import."""
    known = _identities(folders)
    for changes in watchfiles.watch(
        *[folder for folder, identity in known.items() if identity],
        watch_filter=watchfiles.PythonFilter(),
        recursive=files is None,
        yield_on_timeout=True,
        rust_timeout=LOOK_MILLISECONDS,
        force_polling=polling or None,
        poll_delay_ms=LOOK_MILLISECONDS,
    ):
        found = _identities(folders)
        changed = {Path(path) for _, path in changes}
        if files is not None:
            changed &= with_neighbours(files)
        if changed or found != known:
            _tell(changed, parent)
        if found != known:
            return


def with_neighbours(files: Iterable[Path]) -> set[Path]:
    """Return the files, and those beside them that they import, directly or not."""
    found, waiting = set(files), list(files)
    while waiting:
        file = waiting.pop()
        near = {file.with_name(f"{name}.py") for name in _imported(file)} - found
        waiting += (beside := [path for path in near if path.exists()])
        found.update(beside)
    return found


def _imported(file: Path) -> set[str]:
    """Return the top-level names that a file imports; none while it cannot be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


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
