"""Watches the children until somebody asks to stop: restarts what crashed, then stops all in order.

One thread and one loop. Signals only note that they came and end the wait.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from orchestrations.runtime.processes import Child, describe_end, dying_with, kill_session

HURRIED_SECONDS = 6.0
"""So long a child has to end after somebody asked twice."""

Say = Callable[[str], None]


class StopAsked(BaseException):
    """Somebody asked to stop while things were still being prepared; like KeyboardInterrupt, no handler is for it."""


class Watch:
    """The children, in the order in which they were added."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.children: list[Child] = []
        self.is_preparing = True
        self.stop_asked = False
        self.impatient = False
        self.renewal_asked = False
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)

    def close(self) -> None:
        """Give up the sockets; there is no more waiting afterwards."""
        self._wake_reader.close()
        self._wake_writer.close()

    def listen(self) -> None:
        """Take over the signals that ask to stop or to renew what runs functions, and the news of a child's end."""
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGUSR1, self._note_renewal)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        self.impatient = self.stop_asked and number == signal.SIGINT
        self.stop_asked = True
        if self.is_preparing:
            self.is_preparing = False
            raise StopAsked

    def _note_renewal(self, number: int, frame: FrameType | None) -> None:
        self.renewal_asked = True

    def add(self, child: Child) -> Child:
        """Start `child` and watch it from now on."""
        self.children.append(child)
        child.start()
        return child

    def rest(self, seconds: float) -> None:
        """Wait for a signal, `seconds` at most."""
        if select.select([self._wake_reader], [], [], max(0.0, seconds))[0]:
            try:
                self._wake_reader.recv(4096)
            except BlockingIOError:
                return

    def tend(self) -> float:
        """Restart what is due, plan what has ended; return for how long nothing else is due."""
        if self.renewal_asked:
            self.renewal_asked = False
            for child in self.children:
                if child.runs_functions:
                    child.renew()
        for child in self.children:
            self._tend_one(child, time.monotonic())
        waiting = [child.restart_at for child in self.children if child.process is None]
        waiting += [child.renew_by for child in self.children if child.renew_by is not None]
        return max(0.0, min(waiting, default=time.monotonic() + 60.0) - time.monotonic())

    def _tend_one(self, child: Child, now: float) -> None:
        if child.has_ended() and child.renew_by is not None:
            child.start()
        elif child.has_ended():
            code = child.process.returncode if child.process else 0
            pause = child.plan_restart()
            self.say(f"{child.name} ended ({describe_end(code)}); starting it again in {pause:.1f} s")
        elif child.process is None and child.restart_at <= now:
            child.start()
        elif child.renew_by is not None and child.renew_by <= now:
            child.end(now)

    def run_command(self, command: Sequence[str], environment: Mapping[str, str], *, seconds: float) -> tuple[int, str]:
        """Run a command to its end, or for so many seconds; return its exit code and what it wrote as errors.

        The children are tended meanwhile: a start takes long on a busy machine.
        """
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                preexec_fn=dying_with(os.getpid()),
            )
            try:
                deadline = time.monotonic() + seconds
                while process.poll() is None and time.monotonic() < deadline:
                    self.rest(min(0.2, self.tend()))
            finally:
                if process.poll() is None:
                    kill_session(process)
            errors.seek(0)
            return process.returncode, errors.read().decode(errors="replace")

    def run(self) -> None:
        """Tend the children until somebody asks to stop."""
        self.is_preparing = False
        while not self.stop_asked:
            self.rest(self.tend())

    def stop(self) -> None:
        """Stop all children, those that others build on last."""
        self.is_preparing = False
        for is_foundation in (False, True):
            group = [child for child in self.children if child.is_foundation == is_foundation]
            for child in group:
                child.ask_to_stop()
            for child in group:
                self._await_end(child)

    def _await_end(self, child: Child) -> None:
        began = time.monotonic()
        deadline = began + child.stop_seconds
        while child.is_running() and time.monotonic() < deadline:
            self.rest(min(0.5, deadline - time.monotonic()))
            if self.impatient:  # who is asked again ends at once, and gives back what it holds
                child.ask_to_stop()
                deadline = min(deadline, began + HURRIED_SECONDS)
        if not child.end(deadline):
            self.say(f"{child.name} did not stop in time and was killed")
