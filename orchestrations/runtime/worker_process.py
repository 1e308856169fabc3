"""One place for a worker process: the process in it, what it does as far as its bytes tell, and its successors."""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrations import telemetry
from orchestrations.runtime.processes import Child
from orchestrations.runtime.watch import Reading, Running, State, Watch
from orchestrations.store import clock
from orchestrations.store.processes import Process

HANG_SECONDS = 60.0
"""A worker that works and has not moved for so long, in no turn and no activity, is replaced."""


class Verdict(StrEnum):
    """Why a process ended."""

    STOPPED = "stopped"
    """It was asked to, or was killed because somebody wants us to stop: nothing is its work's fault."""
    LATE = "past its deadline"
    HUNG = "hung"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker process that has ended: how, what it ran at that moment, and what it had to say."""

    worker: str
    code: int
    verdict: Verdict
    reading: Reading
    late: tuple[Running, ...] = ()
    words: str = ""


class WorkerProcess:
    """A worker process and its successors; each has an id of its own, fresh at every start."""

    def __init__(self, queue: str, supervisor: str, folder: Path, threads: int | None = None) -> None:
        self._queue, self._supervisor, self._folder, self._threads = queue, supervisor, folder, threads
        self._child = Child("worker", ())
        self._watch: Watch | None = None
        self._reading = Reading(0, State.STARTING, ())
        self._started_at = clock.EPOCH
        self._moved_at = 0.0
        self._handed_back = 0
        self._verdict: Verdict | None = None
        self._late: tuple[Running, ...] = ()
        self.worker_id = ""

    @property
    def is_running(self) -> bool:
        """True while there is a process."""
        return self._child.is_running()

    @property
    def reading(self) -> Reading:
        """What the process did when it was last looked at."""
        return self._reading

    @property
    def is_condemned(self) -> bool:
        """True once it was killed: its leases are not renewed."""
        return self._verdict is not None

    def row(self) -> Process:
        """Return what the database is to know of it."""
        assert self._child.process is not None
        return Process(self.worker_id, self._child.process.pid, self._started_at)

    def start_if_due(self) -> bool:
        """Start a new process under a new id, unless there is one or the pause after the last is not over."""
        if not self._child.may_start():
            return False
        self.worker_id = uuid.uuid4().hex
        path = self._folder / self.worker_id
        self._watch, self._verdict, self._late, self._handed_back = Watch(path), None, (), 0
        self._reading, self._moved_at = Reading(0, State.STARTING, ()), time.monotonic()
        command = [sys.executable, sys.argv[0], "durable_worker", "--queue", self._queue]
        command += ["--as-worker", self.worker_id, "--supervisor", self._supervisor, "--watch", str(path)]
        command += ["--parent", str(os.getpid())]
        if self._threads is not None:
            command += ["--threads", str(self._threads)]
        self._child.command = command
        self._started_at = clock.local_now()
        self._child.start()
        return True

    def look(self) -> None:
        """Read its bytes."""
        if self._watch is None:
            return
        found = self._watch.read()
        if found.moves != self._reading.moves or found.running != self._reading.running:
            self._moved_at = time.monotonic()
        self._reading = found

    def reap(self) -> Ended | None:
        """Take notice of the process's end: return it, once; the next one starts after a pause."""
        if not self._child.has_ended():
            return None
        assert self._child.process is not None
        code = self._child.process.returncode
        self.look()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        # user code may end the process with any code: who has stopped by himself runs nothing any more
        verdict = self._verdict or (Verdict.LOST if code or self._reading.running else Verdict.STOPPED)
        ended = Ended(self.worker_id, code, verdict, self._reading, self._late, self._take_words())
        self._child.plan_restart(was_ready=self._reading.state is not State.STARTING)
        return ended

    def outlives(self, slice_seconds: float) -> bool:
        """Tell, once for each, whether an activity holds up the main thread for longer than the slice."""
        main = self._reading.main
        if main is None or main.activity is None or main.serial == self._handed_back:
            return False
        if time.monotonic() - main.began < slice_seconds:
            return False
        self._handed_back = main.serial
        return True

    def keys(self) -> set[int]:
        """Return the keys of the activities that it runs at this instant, or has ended and not settled."""
        try:
            reading = self._watch.read() if self._watch is not None else self._reading
        except ValueError:  # closed meanwhile, in the thread that has seen its end
            reading = self._reading
        return {running.key for running in reading.running if running.activity} | reading.finished

    def enforce(self) -> None:
        """Kill it, with all that it has started, if what it runs is past its deadline or if it hangs."""
        if not self.is_running or self.is_condemned:
            return
        now = time.monotonic()
        late = tuple(running for running in self._reading.running if now > running.deadline)
        is_stuck = self._reading.state is State.WORKING and self._reading.main is None
        if late:
            self._condemn(Verdict.LATE, late)
        elif is_stuck and now - self._moved_at > HANG_SECONDS:
            self._condemn(Verdict.HUNG)

    def ask_to_stop(self) -> None:
        """Ask it to end after its present turn or activity."""
        self._child.ask_to_stop()

    def stop_now(self) -> None:
        """Kill it because we stop: what it holds goes back unharmed."""
        if self.is_running and not self.is_condemned:
            self._verdict = Verdict.STOPPED
            self._child.kill()

    def wait(self, deadline: float) -> None:
        """Wait for its end, until `deadline` (monotonic), then kill it."""
        self._child.end(deadline)

    def _condemn(self, verdict: Verdict, late: tuple[Running, ...] = ()) -> None:
        self._verdict, self._late = verdict, late
        keys = [running.key for running in late]
        telemetry.report(
            telemetry.WORKER_KILLED, level=logging.WARNING, worker=self.worker_id, reason=verdict, tasks=keys
        )
        self._child.kill()

    def _take_words(self) -> str:
        path = self._folder / self.worker_id
        words = path.with_suffix(".words")
        try:
            found = words.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            found = ""
        for file in (words, path):
            file.unlink(missing_ok=True)
        return found
