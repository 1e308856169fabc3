"""One place for a worker process: the process in it, the next one after its end, and what it is doing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from orchestrations import telemetry
from orchestrations.runtime.watch import NOTHING, TURN, Watch

FIRST_PAUSE, LAST_PAUSE = 0.1, 5.0
GOOD_SECONDS = 1.0
GRACE_SECONDS = 5.0


class Child:
    """A worker process and its successors; each has an id of its own, fresh at every start."""

    def __init__(self, queue: str, supervisor: str, folder: Path) -> None:
        self._queue, self._supervisor, self._folder = queue, supervisor, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._started_at = self._next_at = self._pause = 0.0
        self._handed_back = 0
        self._condemned_at: float | None = None
        self.worker_id = ""
        self.code: int | None = None

    @property
    def is_alive(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_condemned(self) -> bool:
        """True once the process was told to end for having passed a deadline: its leases are not renewed."""
        return self._condemned_at is not None

    @property
    def should_start(self) -> bool:
        """True if there is no process and the pause after the last one's end is over."""
        return self._process is None and time.monotonic() >= self._next_at

    def start(self) -> None:
        """Start a new process under a new id."""
        self.worker_id = uuid.uuid4().hex
        path = self._folder / self.worker_id
        self._watch = Watch(path)
        self._condemned_at, self._handed_back = None, 0
        command = [sys.executable, sys.argv[0], "durable_worker", "--queue", self._queue]
        command += ["--as-worker", self.worker_id, "--supervisor", self._supervisor, "--watch", str(path)]
        self._process = subprocess.Popen(command, start_new_session=True)
        self._started_at = time.monotonic()

    def reap(self) -> str | None:
        """Take notice of the process's end: return its id, once; the next one starts after a pause."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self.code, self._process = code, None
        lived = time.monotonic() - self._started_at
        self._pause = FIRST_PAUSE if lived > GOOD_SECONDS else min(max(self._pause * 2, FIRST_PAUSE), LAST_PAUSE)
        self._next_at = time.monotonic() + self._pause
        if self._watch is not None:
            self._watch.close()
            (self._folder / self.worker_id).unlink(missing_ok=True)
        return self.worker_id

    def outlives(self, slice_seconds: float) -> int | None:
        """Return, once, the key of an activity that has run for longer than the slice."""
        running = self._watch.read() if self._watch is not None and self.is_alive else None
        if running is None or running.key in (NOTHING, TURN) or running.serial == self._handed_back:
            return None
        if time.monotonic() - running.began < slice_seconds:
            return None
        self._handed_back = running.serial
        return running.key

    def enforce_deadline(self) -> None:
        """End a process whose activity or turn has passed its deadline: SIGTERM, then SIGKILL."""
        if self._watch is None or not self.is_alive:
            return
        now, running = time.monotonic(), self._watch.read()
        if self._condemned_at is None and running.key != NOTHING and now > running.deadline:
            self._condemned_at = now
            telemetry.report(telemetry.WORKER_KILLED, level=logging.WARNING, worker=self.worker_id, task=running.key)
            self.terminate()
        elif self._condemned_at is not None and now > self._condemned_at + GRACE_SECONDS:
            self.kill()

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self.is_alive:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and what it has started, at once."""
        if self._process is not None and self.is_alive:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> None:
        """Wait for the end; kill the process after so many seconds."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
