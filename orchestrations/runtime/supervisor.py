"""The supervisor: it starts, watches and replaces worker processes, and its loop is the dispatcher.

Workers are new processes, never forks, so that no database connection is shared. Their leases are renewed from here,
for a worker may be blocked in C; a worker past its deadline is ended: SIGTERM, 5 s later SIGKILL.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import time
import uuid
from pathlib import Path
from types import FrameType

from django.db import Error, connection

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.runtime.child import Child
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.store import clock, leases, processes

STOP_SECONDS = 10.0


class Supervisor:
    """Runs `count` workers for one queue until SIGTERM or SIGINT."""

    def __init__(self, queue: str, count: int) -> None:
        self.id = uuid.uuid4().hex
        self._queue, self._count = queue, count
        self._folder = tempfile.TemporaryDirectory(prefix="durable-")
        self._children: list[Child] = []
        self._sweeper = Sweeper()
        self._is_stopping = False
        self._swept_at = self._beaten_at = 0.0

    def run(self) -> int:
        """Work until a signal comes; then end the workers and return 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        processes.register_supervisor(self.id, socket.gethostname(), os.getpid(), clock.now())
        self._children = [Child(self._queue, self.id, Path(self._folder.name)) for _ in range(self._count)]
        try:
            while not self._is_stopping:
                self._round()
        finally:
            self._end()
        return 0

    def _round(self) -> None:
        """One round; an error of database or Redis is logged, and the next round tries again."""
        try:
            self._watch()
            self._beat()
            self._sweep()
            self._sweeper.fire()
        except Error as error:
            telemetry.report(telemetry.SWEEP_FAILED, level=logging.ERROR, error=error)
            connection.close()
            time.sleep(0.5)
        self._sweeper.listen(self._rest())

    def _rest(self) -> float:
        """Return how long nothing has to be done: to the next due instant or sweep, a quarter of a second at most."""
        until_sweep = self._swept_at + conf.SWEEP_SECONDS - time.monotonic()
        until_due = self._sweeper.seconds_to_next()
        return max(0.0, min(until_sweep, until_due if until_due is not None else until_sweep, 0.25))

    def _watch(self) -> None:
        """Start what is not running, free what the dead held, hand back what a long activity holds up."""
        for child in self._children:
            if (dead := child.reap()) is not None:
                telemetry.report(telemetry.WORKER_ENDED, level=logging.WARNING, worker=dead, code=child.code)
                leases.expire(dead, clock.now())
            if child.should_start:
                child.start()
                self._beaten_at = 0.0
            if (activity := child.outlives(conf.BURST_SECONDS)) is not None:
                freed = leases.hand_back(child.worker_id, keep_activity=activity)
                telemetry.report(telemetry.HANDED_BACK, worker=child.worker_id, rows=freed)
            child.enforce_deadline()

    def _beat(self) -> None:
        if time.monotonic() - self._beaten_at < conf.BEAT_SECONDS:
            return
        self._beaten_at = time.monotonic()
        alive = [child.worker_id for child in self._children if child.is_alive and not child.is_condemned]
        now = clock.now()
        processes.beat(self.id, alive, now)
        leases.renew(alive, now, conf.LEASE_SECONDS)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < conf.SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        self._sweeper.sweep()
        processes.note_sweep(self.id, clock.now())

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _end(self) -> None:
        """End the workers: they finish or hand back their turns; what is left after 10 s is killed, as safely."""
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.wait(max(0.0, deadline - time.monotonic()))
        try:
            for child in self._children:
                leases.hand_back(child.worker_id)
            processes.remove_supervisor(self.id)
        except Error as error:
            telemetry.report(telemetry.SWEEP_FAILED, level=logging.ERROR, error=error)
        self._sweeper.close()
        self._folder.cleanup()
