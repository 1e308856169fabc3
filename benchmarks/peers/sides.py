"""The sides of the comparison: how each is installed, and the driver that it is asked through."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
INSTALLED = PROJECT / ".peers"
RESTATE_SERVER = "@restatedev/restate-server@1.7.12"


@dataclass(frozen=True)
class Place:
    """Where a run keeps its data: a directory of its own, and a PostgreSQL whose socket is in `socket_directory`."""

    directory: Path
    socket_directory: Path
    workers: int

    def database(self, name: str, scheme: str = "postgresql") -> str:
        """Make a database, and return its address."""
        import psycopg

        host = str(self.socket_directory)
        with psycopg.connect(host=host, user="durable", dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{scheme}://durable@/{name}?host={quote(host, safe='')}"


@dataclass(frozen=True)
class Side:
    """One of those that are compared. `driver` is its file; `environment` says what that has to know."""

    name: str
    driver: str
    environment: Callable[[Place], dict[str, str]]
    packages: str = ""

    def python(self) -> Path:
        """Install what it needs, if that is not there, and return the interpreter that has it."""
        if not self.packages:
            return Path(sys.executable)
        directory, wanted = INSTALLED / self.packages, HERE / "requirements" / f"{self.packages}.txt"
        stamp, digest = directory / "installed", hashlib.sha256(wanted.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != digest:
            print(f"  installing {self.name}", flush=True)
            venv.create(directory, clear=True, with_pip=True)
            pip = [directory / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "-r", wanted], check=True)
            stamp.write_text(digest)
        return directory / "bin" / "python"

    def versions(self) -> str:
        """Return what is compared, as its requirements name it."""
        if not self.packages:
            return "this checkout"
        return ", ".join((HERE / "requirements" / f"{self.packages}.txt").read_text().split())


class Driver:
    """A side that runs and can be asked."""

    def __init__(self, side: Side, place: Place) -> None:
        self.side, python = side, side.python()
        log = (place.directory / f"{side.name}.log").open("ab")
        values = {**os.environ, "WORKERS": str(place.workers), **side.environment(place)}
        self.process = subprocess.Popen(
            [python, side.driver],
            cwd=HERE / "drivers",
            env=values,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        self._log = Path(log.name)
        self._read()

    def ask(self, workload: str, size: int) -> float | None:
        """Run a workload and return its figure, None if the side does not have it."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"workload": workload, "size": size}) + "\n")
        self.process.stdin.flush()
        figure = self._read()["figure"]
        return None if figure is None else float(figure)

    def stop(self) -> None:
        """End it, and all that it has started."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)

    def _read(self) -> Mapping[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.side.name} has ended. Its log ends so:\n{self._log.read_text()[-3000:]}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer


def _ours(kind: str) -> Side:
    def environment(place: Place) -> dict[str, str]:
        values = {"DURABLE_HOME": str(place.directory / f"home-{kind}"), "LOG_LEVEL": "WARNING"}
        return values | ({"DATABASE_URL": place.database("ours", "postgres")} if kind == "postgresql" else {})

    return Side(f"ours-{kind}", "on_durableweb.py", environment)


def _restate(place: Place) -> dict[str, str]:
    program = INSTALLED / "node_modules" / ".bin" / "restate-server"
    if not program.exists():
        npm = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        assert npm, "npm is needed for Restate's server: 'make setup' installs Node."
        command = [npm, "install", "--prefix", INSTALLED, "--no-audit", "--no-fund", "--loglevel=error", RESTATE_SERVER]
        path = f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    return {"RESTATE_SERVER": str(program), "PEER_DIRECTORY": _directory(place, "restate")}


def _temporal(place: Place) -> dict[str, str]:
    program = INSTALLED / "temporal" / "bin" / "temporal"
    return {"TEMPORAL": str(program), "PEER_DIRECTORY": _directory(place, "temporal")}


def _directory(place: Place, name: str) -> str:
    found = place.directory / name
    found.mkdir(exist_ok=True)
    return str(found)


SIDES = (
    _ours("sqlite"),
    _ours("postgresql"),
    Side("restate", "on_restate.py", _restate, "restate"),
    Side("absurd", "on_absurd.py", lambda place: {"PEER_DATABASE": place.database("absurd")}, "absurd"),
    Side("dbos", "on_dbos.py", lambda place: {"PEER_DATABASE": place.database("dbos", "postgresql+psycopg")}, "dbos"),
    Side("temporal", "on_temporal.py", _temporal, "temporal"),
)
