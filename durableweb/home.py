"""The directory in which one copy of the product keeps what is its own: keys, accounts, embedded stores.

Everything in it is for its owner only (directory 700, files 600), and a key that others can read is refused, since a
key that was once readable has to be taken for known. Settings only read here; `make run` creates.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from durableweb.environment import Environment

SOCKET_PATH_LIMIT = 100
"""Bytes that the path of a Unix socket may have on every system that we know."""


@dataclass(frozen=True, slots=True)
class Home:
    """The places in one DURABLE_HOME."""

    path: Path

    @property
    def secret_key_file(self) -> Path:
        return self.path / "secret_key"

    @property
    def redis_password_file(self) -> Path:
        return self.path / "redis_password"

    @property
    def accounts_file(self) -> Path:
        return self.path / "accounts.txt"

    @property
    def environment_file(self) -> Path:
        return self.path / "environment.json"

    @property
    def samples_file(self) -> Path:
        return self.path / "samples_started"

    @property
    def lock_file(self) -> Path:
        return self.path / "running.lock"

    @property
    def database_file(self) -> Path:
        return self.path / "database.sqlite3"

    @property
    def redis_socket(self) -> Path:
        """The embedded Valkey's socket: here, or in a short private directory where this path is too long for one."""
        socket = self.path / "valkey.sock"
        if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
            return socket
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"durableweb-{os.getuid()}-{digest}" / "valkey.sock"

    @property
    def redis_url(self) -> str:
        """The embedded Valkey's address with its password, or empty if this home has none."""
        password = read_private(self.redis_password_file)
        return f"unix://:{password}@{self.redis_socket}?db=0" if password else ""

    def recorded_environment(self) -> dict[str, str]:
        """Return the variables that this home was last started with, so that commands need DURABLE_HOME alone."""
        content = read_private(self.environment_file)
        try:
            return {str(name): str(value) for name, value in json.loads(content or "{}").items()}
        except (ValueError, AttributeError):
            raise ImproperlyConfigured(
                f"{self.environment_file} is damaged; remove it, and start once again."
            ) from None

    def create(self) -> None:
        """Make the directory, or take an empty one of one's own; refuse one that others can enter."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(self.path.iterdir()) and self.path.stat().st_uid == os.getuid():
            self.path.chmod(0o700)
        _refuse_if_shared(self.path, "a directory")
        if self.redis_socket.parent != self.path:
            self.redis_socket.parent.mkdir(mode=0o700, exist_ok=True)
            _refuse_if_shared(self.redis_socket.parent, "a directory")

    def ensure_secret(self, file: Path) -> str:
        """Return the secret in `file`, making a random one if there is none; safe when two processes do it at once."""
        write_private(file, secrets.token_urlsafe(64) + "\n")
        return read_private(file)


def home_of(environment: Environment, default: Path) -> Home:
    """Return the home that DURABLE_HOME names; a relative path counts from the working directory."""
    return Home(Path(environment.text("DURABLE_HOME", str(default))).expanduser().absolute())


def read_private(file: Path) -> str:
    """Return the content of a file that only its owner can read, stripped; empty if there is no such file."""
    try:
        with file.open(encoding="utf-8") as opened:
            _refuse_if_shared(file, "a key file")
            return opened.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write_private(file: Path, content: str, *, replace: bool = False) -> None:
    """Write a file of mode 600 as a whole or not at all; without `replace` an existing one is kept."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(content)
        if replace:
            os.replace(name, file)
        else:
            _link_unless_exists(name, file)
    finally:
        Path(name).unlink(missing_ok=True)


def _link_unless_exists(name: str, file: Path) -> None:
    try:
        os.link(name, file)
    except FileExistsError:
        return


def _refuse_if_shared(path: Path, kind: str) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        wanted = 0o700 if path.is_dir() else 0o600
        raise ImproperlyConfigured(
            f"{path} is {kind} with mode {mode:o}, so others can read it; "
            f"make it private (chmod {wanted:o} '{path}') or choose another DURABLE_HOME."
        )
    if found.st_uid not in (os.getuid(), 0):
        raise ImproperlyConfigured(f"{path} is {kind} that belongs to another user; choose another DURABLE_HOME.")
