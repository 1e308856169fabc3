"""The supervisor: it starts, watches and replaces worker processes.

Workers are new processes, never forks, so that no database connection is shared. The main thread waits for nothing but
the clock: it enforces deadlines whatever the database and Redis do. Who is alive and what the dead held is written by
the registrar; queues are woken by the dispatcher; each is a thread of its own.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import time
import uuid
from pathlib import Path
from types import FrameType

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.runtime.dispatcher import Dispatcher
from orchestrations.runtime.processes import describe_end
from orchestrations.runtime.registrar import Census, Registrar
from orchestrations.runtime.worker_process import Verdict, WorkerProcess

TICK_SECONDS = 0.1
FINISH_SECONDS = 5.0
BROKEN_EXIT = 1


class Supervisor:
    """Runs `count` workers for one queue until SIGTERM or SIGINT; a second signal does not wait for them."""

    def __init__(self, queue: str, count: int, threads: int | None = None) -> None:
        self.id = uuid.uuid4().hex
        self._folder = tempfile.TemporaryDirectory(prefix="durable-")
        folder = Path(self._folder.name)
        self._places = [WorkerProcess(queue, self.id, folder, threads) for _ in range(count)]
        self._registrar = Registrar(self.id, queue)
        self._dispatcher = Dispatcher(self.id, queue)
        self._signals = 0

    def run(self) -> int:
        """Work until a signal comes; then end the workers and return 0, or 1 if a thread of our own has died."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)
        self._registrar.start()
        self._dispatcher.start()
        try:
            while not self._signals and self._is_whole():
                self._tend()
                time.sleep(TICK_SECONDS)
        finally:
            is_whole = self._is_whole()
            self._end()
        return 0 if is_whole else BROKEN_EXIT

    def _is_whole(self) -> bool:
        return self._registrar.is_alive() and self._dispatcher.is_alive()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _tend(self) -> None:
        """Start what is not running, and look after what is."""
        for place in self._places:
            self._note_end(place)
            if place.start_if_due():
                self._registrar.beat_soon()
        self._look_after()

    def _look_after(self) -> None:
        for place in self._places:
            if not place.is_running:
                continue
            place.look()
            place.enforce()
            if place.outlives(conf.BURST_SECONDS):
                self._registrar.note_long_activity(place.worker_id, place.keys)
        self._registrar.workers = [
            Census(place.row(), place.reading) for place in self._places if place.is_running and not place.is_condemned
        ]

    def _note_end(self, place: WorkerProcess) -> None:
        ended = place.reap()
        if ended is None:
            return
        level = logging.INFO if ended.verdict is Verdict.STOPPED else logging.WARNING
        how = describe_end(ended.code)
        telemetry.report(
            telemetry.WORKER_ENDED, level=level, worker=ended.worker, code=ended.code, how=how, reason=ended.verdict
        )
        self._registrar.note_end(ended)
        self._dispatcher.note_end(ended.worker)

    def _end(self) -> None:
        """End the workers: each finishes what it does now; what takes longer than the grace goes back unharmed."""
        for place in self._places:
            place.ask_to_stop()
        deadline = time.monotonic() + conf.STOP_SECONDS
        while any(place.is_running for place in self._places):
            if time.monotonic() >= deadline or self._signals > 1:
                for place in self._places:
                    place.stop_now()
            self._look_after()
            time.sleep(TICK_SECONDS / 2)
        for place in self._places:
            self._note_end(place)
        self._registrar.finish(FINISH_SECONDS)
        self._dispatcher.stop()
        self._dispatcher.join(1.0)
        self._folder.cleanup()
