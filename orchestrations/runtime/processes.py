"""Child processes that are to run as long as we do: each in a session of its own, restarted with growing pauses.

The launcher keeps the product's programs with it, and the supervisor its workers; it needs neither Django nor Redis.
On Linux the kernel kills a child whose parent dies, whatever killed the parent. Start children from the main thread:
the kernel means the thread that started them, and takes its end for the parent's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STEADY_SECONDS = 10.0
"""A child that lived this long, or said that it is ready, starts over with the shortest pause."""

PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One program. A foundation is what others build on, so it stops after them.

    What runs functions is renewed when these change; until `renew_by` it has time to end by itself.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    stop_seconds: float = 12.0
    is_foundation: bool = False
    runs_functions: bool = False
    process: subprocess.Popen[bytes] | None = None
    pause: float = FIRST_PAUSE
    started_at: float = 0.0
    restart_at: float = field(default=0.0)
    renew_by: float | None = None

    def start(self) -> None:
        """Run the program. It reads nothing, and writes to where we write."""
        self.started_at, self.renew_by = time.monotonic(), None
        self.process = subprocess.Popen(
            self.command,
            env=None if self.environment is None else dict(self.environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=dying_with(os.getpid()),
        )

    def is_running(self) -> bool:
        """Return whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def has_ended(self) -> bool:
        """Return whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def may_start(self) -> bool:
        """Return whether there is no process and the pause after the last one's end is over."""
        return self.process is None and time.monotonic() >= self.restart_at

    def plan_restart(self, *, was_ready: bool = False) -> float:
        """Return the pause before the next start and double the one after that; see STEADY_SECONDS."""
        now = time.monotonic()
        if was_ready or now - self.started_at >= STEADY_SECONDS:
            self.pause = FIRST_PAUSE
        pause, self.pause = self.pause, min(self.pause * 2, LONGEST_PAUSE)
        self.process = None
        self.restart_at = now + pause
        return pause

    def renew(self) -> None:
        """Ask it to stop, to be started again at once: it is to run with other files."""
        if self.renew_by is None and self.process is not None:
            self.renew_by = time.monotonic() + self.stop_seconds
            self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """Send SIGTERM if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill it with all that it has started, and do not wait for the end."""
        if self.process is not None and self.process.poll() is None:
            _kill_group(self.process)

    def end(self, deadline: float) -> bool:
        """Wait until `deadline` (monotonic), then kill its whole session; return whether it ended by itself."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_session(self.process)
            return False
        return True


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads its own session, with all that it started, and wait for its end."""
    _kill_group(process)
    process.wait()


def describe_end(code: int) -> str:
    """Return how a process ended, as in "killed by SIGSEGV" or "exit code 1"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def dying_with(parent: int, how: int = signal.SIGKILL) -> Callable[[], None] | None:
    """Return what a child of `parent` has to call before exec so that the kernel sends it `how` when `parent` dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, how)
        if os.getppid() != parent:  # it died before we could ask
            os.kill(os.getpid(), signal.SIGKILL)

    return bind


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
