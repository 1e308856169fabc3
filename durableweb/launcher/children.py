"""Child processes: started in a session of their own, restarted with growing pauses, never left behind.

On Linux the kernel kills a child whose parent dies, whatever killed the parent. Elsewhere the next start stops a
left-over Valkey, and says that the port is taken if the web server lives on.
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
"""A child that lived this long starts over with the shortest pause."""

PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One program that is to run as long as we do. A foundation is what others build on, so it stops after them.

    What runs functions is renewed when these change; until `renew_by` it has time to end by itself.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
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
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=dying_with(os.getpid()),
        )

    def has_ended(self) -> bool:
        """Return whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def plan_restart(self) -> float:
        """Return the pause before the next start and double the one after that; see STEADY_SECONDS."""
        now = time.monotonic()
        if now - self.started_at >= STEADY_SECONDS:
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
    """Kill a child that leads its own session, with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.wait()


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
