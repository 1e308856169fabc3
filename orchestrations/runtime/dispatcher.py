"""The dispatcher's thread: it sweeps every second, wakes queues at the instants that it knows, keeps the queue tidy.

It waits on the database and on Redis, so it is apart from what enforces deadlines and from what renews leases.
"""

from __future__ import annotations

import logging
import queue
import threading
import time

from django.db import Error, connections
from redis.exceptions import RedisError

from orchestrations import telemetry
from orchestrations.conf import conf
from orchestrations.runtime import queues
from orchestrations.runtime.retries import drop_connection
from orchestrations.runtime.sweeper import Sweeper
from orchestrations.store import clock, processes

TIDY_SECONDS = 60.0
REST_SECONDS = 0.25


class Dispatcher(threading.Thread):
    """Sweeps for all queues; of its own queue it forgets the workers that have ended."""

    def __init__(self, supervisor: str, queue_name: str) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._supervisor, self._queue = supervisor, queue_name
        self._sweeper = Sweeper()
        self._gone: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._swept_at = self._tidied_at = float("-inf")
        self._is_stopping = False

    def note_end(self, worker: str) -> None:
        """See to it that Redis lists this worker no more."""
        self._gone.put(worker)

    def stop(self) -> None:
        """End within a moment, unless it waits for the database."""
        self._is_stopping = True

    def run(self) -> None:
        """Work until `stop`; an error of database or Redis is logged, and the next round tries again."""
        try:
            while not self._is_stopping:
                self._round()
            self._sweeper.close()
        finally:
            connections.close_all()

    def _round(self) -> None:
        try:
            self._sweep()
            self._sweeper.fire()
        except Error as error:
            telemetry.report(telemetry.SWEEP_FAILED, level=logging.ERROR, error=error)
            drop_connection()
            time.sleep(0.5)
        try:
            self._tidy()
        except (RedisError, OSError) as error:
            telemetry.report(telemetry.QUEUE_FAILED, level=logging.WARNING, error=error)
        self._sweeper.listen(self._rest())

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < conf.SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        self._sweeper.sweep()
        processes.note_sweep(self._supervisor, clock.now())

    def _tidy(self) -> None:
        while not self._gone.empty():
            queues.forget_worker(self._gone.get(), self._queue)
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            queues.forget_lapsed_workers(self._queue)

    def _rest(self) -> float:
        """Return how long nothing has to be done: to the next due instant or sweep, a quarter of a second at most."""
        until_sweep = self._swept_at + conf.SWEEP_SECONDS - time.monotonic()
        until_due = self._sweeper.seconds_to_next()
        return max(0.0, min(until_sweep, until_due if until_due is not None else until_sweep, REST_SECONDS))
