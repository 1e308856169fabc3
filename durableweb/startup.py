"""Before Django: which home, settings and paths a process of this copy has where nobody tells it.

A command finds the running copy by itself: the home that DURABLE_HOME names, else `.durable/` of the checkout if
`make run` was ever there, else the one home in which a copy of this checkout runs now. What that home recorded at its
start counts for the command as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from durableweb.environment import Environment
from durableweb.home import Home, home_of, read_private, write_private

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_HOME = PROJECT / ".durable"
SETTINGS = "durableweb.settings"
USAGE = 2


def find_home(values: Mapping[str, str]) -> Home:
    """Return the home to work on; it need not exist."""
    environment, default = Environment(values), Home(DEFAULT_HOME)
    if environment.text("DURABLE_HOME") or default.secret_key_file.exists():
        return home_of(environment, default.path)
    running = list_running()
    return running[0] if len(running) == 1 else default


def choose_settings() -> None:
    """Name the settings module that the home was started with, unless one is named, and search where it searched.

    Raises `ImproperlyConfigured` where that module is nowhere.
    """
    recorded = find_home(os.environ).recorded_environment()
    extend_path(recorded.get("PYTHONPATH", ""))
    name = os.environ.setdefault("DJANGO_SETTINGS_MODULE", recorded.get("DJANGO_SETTINGS_MODULE", SETTINGS))
    with contextlib.suppress(ImportError, ValueError):
        if importlib.util.find_spec(name) is not None:
            return
    raise ImproperlyConfigured(f"DJANGO_SETTINGS_MODULE is '{name}', and there is no such module; unset it.")


def refuse_start(error: ImproperlyConfigured) -> int:
    """Say in one line what is wrong with the configuration, and return the exit code for it."""
    print(f"error: {error}", file=sys.stderr)
    return USAGE


def extend_path(paths: str) -> None:
    """Let Python look in these places as well, after all others."""
    for path in filter(None, paths.split(os.pathsep)):
        if path not in sys.path:
            sys.path.append(path)


# --- which copies of this checkout run --------------------------------------------------------------------------------
def list_running() -> Sequence[Home]:
    """Return the homes in which a copy of this checkout runs now."""
    folder = _running_folder()
    if not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return []
    return [home for note in _notes(folder) if is_running(home := _noted(note))]


def note_running(home: Home) -> Path:
    """Let commands find this home while its copy runs; return the note, to be removed at the end."""
    folder = _running_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in _notes(folder):  # of copies that were killed
        if not is_running(_noted(old)):
            old.unlink(missing_ok=True)
    note = folder / _digest(home.path)
    write_private(note, str(home.path), replace=True)
    return note


def is_running(home: Home) -> bool:
    """Return whether a copy holds the home's lock, which ends with the process that holds it."""
    try:
        with home.lock_file.open(encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _notes(folder: Path) -> list[Path]:
    return sorted(note for note in folder.iterdir() if not note.name.startswith("."))


def _noted(note: Path) -> Home:
    return Home(Path(read_private(note)))


def _running_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"durableweb-{os.getuid()}-{_digest(PROJECT)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
