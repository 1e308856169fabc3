"""What a supervisor writes into the database: who is alive, whose leases go on, what a dead worker held.

It has a thread of its own, so that deadlines are enforced while the database is away. What it is told is done in order,
and again after every outage, until it is done: a passed deadline is recorded once, whatever happens meanwhile.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import Error, connections, transaction

from orchestrations import telemetry
from orchestrations.authoring.registry import ACTIVITY, registry
from orchestrations.conf import conf
from orchestrations.runtime import outcomes
from orchestrations.runtime.processes import describe_end
from orchestrations.runtime.retries import drop_connection, through_outage
from orchestrations.runtime.watch import Reading, State
from orchestrations.runtime.worker_process import Ended, Verdict
from orchestrations.store import activities, clock, hubs, leases, losses, processes, retention
from orchestrations.store.activities import Result
from orchestrations.store.processes import Home, Process

PRUNE_SECONDS = 600.0
TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Census:
    """A living worker: its row, and what it does."""

    row: Process
    reading: Reading


class Registrar(threading.Thread):
    """Beats for one supervisor, and carries out what it is told."""

    def __init__(self, supervisor: str, queue_name: str) -> None:
        super().__init__(name="registrar", daemon=True)
        self._row = Process(supervisor, os.getpid(), clock.local_now())
        self._home = Home(supervisor, queue_name, registry.fingerprint())
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._moves: dict[str, int] = {}
        self._beaten_at = self._pruned_at = float("-inf")
        self._ends_at = float("inf")
        self.workers: Sequence[Census] = ()
        """Who lives now: set by the supervisor, anew after every look."""

    # --- what the supervisor tells it

    def note_end(self, ended: Ended) -> None:
        """See to it that what this worker held goes on, and that what was to blame is known."""
        self._jobs.put(lambda: self._take_from(ended))

    def note_long_activity(self, worker: str, keys: Callable[[], set[int]]) -> None:
        """See to it that an activity of this worker holds up nothing but itself."""
        self._jobs.put(lambda: self._hand_back(worker, keys))

    def beat_soon(self) -> None:
        """Beat at once, for somebody has come or gone."""
        self._beaten_at = float("-inf")

    def finish(self, seconds: float) -> None:
        """Do what is left, in so many seconds at most, and take the supervisor out of the list."""
        self._ends_at = time.monotonic() + seconds
        self._jobs.put(lambda: processes.remove_supervisor(self._row.id))
        self.join(seconds + 1.0)

    # --- its own thread

    def run(self) -> None:
        """Work until `finish`."""
        try:
            while not self._is_late() and not (self._is_ending() and self._jobs.empty()):
                self._work_off()
                self._beat_if_due()
        finally:
            connections.close_all()

    def _work_off(self) -> None:
        try:
            job = self._jobs.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        through_outage(job, give_up=self._is_late, pulse=self._beat_if_due)  # a job may wait for a row for long

    def _beat_if_due(self) -> None:
        if not self._is_ending() and time.monotonic() - self._beaten_at >= conf.BEAT_SECONDS:
            self._beaten_at = time.monotonic()
            self._try_to_beat()

    def _is_ending(self) -> bool:
        return self._ends_at != float("inf")

    def _is_late(self) -> bool:
        return time.monotonic() > self._ends_at

    def _try_to_beat(self) -> None:
        try:
            self._beat()
        except Error as error:
            telemetry.report(telemetry.DATABASE_FAILED, level=logging.ERROR, error=error)
            drop_connection()

    def _beat(self) -> None:
        now, workers = clock.now(), self.workers
        hubs.ensure(self._home.queue.partition(".")[0])
        known = [worker.row for worker in workers if worker.reading.state is not State.STARTING]
        starting = [worker.row.id for worker in workers if worker.reading.state is State.STARTING]
        processes.beat(socket.gethostname(), self._row, known, starting, self._home, now)
        moving = [worker.row.id for worker in workers if self._moves_still(worker)]
        running = [
            (r.key, worker.row.id)
            for worker in workers
            for r in worker.reading.running
            if r.activity and not _is_past(r.deadline)
        ]
        leases.renew(moving, running, now, conf.LEASE_SECONDS)
        self._moves = {worker.row.id: worker.reading.moves for worker in workers}
        leases.unblock_served(now)
        if time.monotonic() - self._pruned_at >= PRUNE_SECONDS:
            self._pruned_at = time.monotonic()
            processes.prune(now)
            losses.prune(now)
            retention.forget_expired(now)

    def _moves_still(self, worker: Census) -> bool:
        """Tell whether its leases go on: it has made a step since the last beat, or runs what may take its time."""
        main = worker.reading.main
        if main is not None:
            return not _is_past(main.deadline)
        return worker.reading.state is State.IDLE or self._moves.get(worker.row.id) != worker.reading.moves

    def _hand_back(self, worker: str, keys: Callable[[], set[int]]) -> None:
        freed = leases.take_back(worker, keys)
        if freed:
            telemetry.report(telemetry.HANDED_BACK, worker=worker, rows=freed)

    # --- ends

    def _take_from(self, ended: Ended) -> None:
        if ended.verdict is Verdict.STOPPED:
            leases.hand_back(ended.worker)
            return
        leases.hand_over(ended.worker)
        if ended.verdict is Verdict.LATE:
            for running in ended.late:
                if running.activity:
                    self._time_out(ended.worker, running.key)
            guilty = [r.instance for r in ended.late if r.instance]
            self._lose(ended, guilty, [])
            return
        main = ended.reading.main
        if main is None and ended.reading.state is State.WORKING:  # in our own code: nobody knows whose fault it was
            self._lose(ended, None, None)
            return
        turns = [r.instance for r in ended.reading.running if r.instance]
        self._lose(ended, turns, [r.key for r in ended.reading.running if r.activity])

    def _time_out(self, worker: str, key: int) -> None:
        held = activities.find_held(key, worker)
        if held is None:
            return
        function = registry.find(ACTIVITY, held.name)
        seconds = function.timeout.total_seconds() if function and function.timeout else conf.ACTIVITY_SECONDS
        telemetry.report(telemetry.ACTIVITY_TIMED_OUT, level=logging.WARNING, activity=held.name, seconds=seconds)
        activities.settle([Result(held, outcomes.timed_out(held, seconds))], worker)

    def _lose(self, ended: Ended, turns: Sequence[int] | None, attempts: Sequence[int] | None) -> None:
        now, text = clock.now(), _describe(ended)
        with transaction.atomic():
            lost = leases.lose(ended.worker, turns, attempts, now)
            works = [losses.key_of_turn(key) for key in lost.instances]
            works += [losses.key_of_activity(key) for key in lost.activities]
            if works:
                losses.record(works, ended.worker, text, now)


def _is_past(deadline: float) -> bool:
    return time.monotonic() > deadline


def _describe(ended: Ended) -> str:
    """Return what is known of the worker's end, as a sentence."""
    how = {
        Verdict.LATE: f"ended because a turn did not end within {conf.TURN_SECONDS:g} s",
        Verdict.HUNG: "ended because it did not move any more",
    }
    text = f"worker {ended.worker[:8]} was {how.get(ended.verdict, f'lost ({describe_end(ended.code)})')}"
    main = ended.reading.main
    if main is not None:
        held = activities.find_held(main.key, ended.worker) if main.activity else None
        what = f"activity {held.name}" if held else "a turn"
        text += f" {time.monotonic() - main.began:.1f} s after it had begun {what}"
    return f"{text}; its last exception was {ended.words}" if ended.words else f"{text}."
