"""Children are restarted with growing pauses, and none is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durableweb.launcher.watch import Watch
from orchestrations.runtime.processes import FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS, Child
from tests import servers

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watch(said: list[str]) -> Iterator[Watch]:
    found = Watch(said.append)
    yield found
    found.impatient = True
    found.stop()
    found.close()


def note_end(process: subprocess.Popen[bytes], name: str, order: list[str]) -> None:
    process.wait()
    order.append(name)


def child(command: list[str], **options: float) -> Child:
    return Child("the child", command, dict(os.environ), **options)  # type: ignore[arg-type]


def test_a_killed_child_is_started_again(watch: Watch, said: list[str]) -> None:
    one = watch.add(child(SLEEPER))
    assert one.process is not None
    first = one.process.pid
    one.process.kill()
    one.process.wait()
    assert watch.tend() == pytest.approx(FIRST_PAUSE, abs=0.05)
    assert said == ["the child ended (killed by SIGKILL); starting it again in 0.1 s"]
    time.sleep(FIRST_PAUSE)
    watch.tend()
    assert one.process is not None
    assert one.process.pid != first
    assert one.process.poll() is None


def ignores_requests_to_stop(pid: int) -> bool:
    ignored = Path(f"/proc/{pid}/status").read_text().partition("SigIgn:")[2].split()[0]
    return bool(int(ignored, 16) & 1 << (signal.SIGTERM - 1))


def test_what_runs_functions_is_renewed_at_once_and_the_rest_stays(watch: Watch, said: list[str]) -> None:
    def pid_of(one: Child) -> int:
        watch.tend()
        return one.process.pid if one.process is not None else 0

    polite, stubborn, other = child(SLEEPER), child(STUBBORN, stop_seconds=0.3), child(SLEEPER)
    polite.runs_functions = stubborn.runs_functions = True
    first = [pid_of(watch.add(one)) for one in (polite, stubborn, other)]
    wait_for(lambda: ignores_requests_to_stop(first[1]))
    watch.renewal_asked = True
    wait_for(lambda: pid_of(polite) != first[0])
    wait_for(lambda: pid_of(stubborn) != first[1])
    assert pid_of(other) == first[2]
    assert said == []


def test_pauses_double_up_to_a_limit_and_start_over_after_a_steady_life() -> None:
    one = child(SLEEPER)
    one.started_at = time.monotonic()
    pauses = [one.plan_restart() for _ in range(8)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE, LONGEST_PAUSE]
    one.started_at = time.monotonic() - STEADY_SECONDS
    assert one.plan_restart() == FIRST_PAUSE


def test_a_child_that_ignores_the_request_to_stop_is_killed_with_its_session(watch: Watch, said: list[str]) -> None:
    script = f"import subprocess, sys; p = subprocess.Popen({SLEEPER!r}); print(p.pid, flush=True); p.wait()"
    reader, writer = os.pipe()
    one = child([sys.executable, "-c", f"import os; os.dup2({writer}, 1)\n{script}"], stop_seconds=0.3)
    os.set_inheritable(writer, True)
    one.process = subprocess.Popen(
        ["sh", "-c", 'trap "" TERM; exec "$@"', "sh", *one.command], start_new_session=True, pass_fds=[writer]
    )
    watch.children.append(one)
    grandchild = int(os.read(reader, 20))
    watch.stop()
    wait_for(lambda: not is_alive(grandchild))
    os.close(reader)
    os.close(writer)
    assert said == ["the child did not stop in time and was killed"]


def test_foundations_stop_after_what_builds_on_them(watch: Watch) -> None:
    foundation = watch.add(child(SLEEPER))
    foundation.is_foundation = True
    upper = watch.add(child(SLEEPER))
    order: list[str] = []
    for name, one in (("foundation", foundation), ("upper", upper)):
        assert one.process is not None
        process = one.process
        threading.Thread(target=note_end, args=(process, name, order), daemon=True).start()
    watch.stop()
    wait_for(lambda: len(order) == 2)
    assert order == ["upper", "foundation"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux only")
def test_children_die_with_a_parent_that_is_killed() -> None:
    script = (
        "import os, sys, time\n"
        "from orchestrations.runtime.processes import Child\n"
        f"one = Child('one', {SLEEPER!r}, dict(os.environ)); one.start()\n"
        "print(one.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=servers.PROJECT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.stdout.close()
    assert is_alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_alive(pid))


def test_children_are_tended_while_a_command_runs(watch: Watch, said: list[str]) -> None:
    one = watch.add(child(SLEEPER))
    assert one.process is not None
    first = one.process.pid
    one.process.kill()
    script = "import sys, time; time.sleep(1.5); print('no', file=sys.stderr); sys.exit(3)"
    assert watch.run_command([sys.executable, "-c", script], os.environ, seconds=20) == (3, "no\n")
    assert said[0].startswith("the child ended (killed by SIGKILL)")
    assert one.is_running()
    assert one.process.pid != first


def test_a_command_that_takes_too_long_is_ended(watch: Watch) -> None:
    code, _ = watch.run_command(SLEEPER, os.environ, seconds=0.3)
    assert code == -signal.SIGKILL


def test_a_child_that_was_ready_starts_over_with_the_shortest_pause_and_one_that_was_not_waits_longer() -> None:
    one = child(SLEEPER)
    one.started_at = time.monotonic()
    assert [one.plan_restart() for _ in range(3)] == [0.1, 0.2, 0.4]
    assert one.plan_restart(was_ready=True) == FIRST_PAUSE
    assert one.plan_restart() == 2 * FIRST_PAUSE


def test_who_is_asked_twice_is_not_waited_for(watch: Watch, said: list[str]) -> None:
    """The second request is passed on: a supervisor then gives back what its workers hold, at once."""
    script = "import signal, sys, time\nn = []\ndef note(*a):\n    n.append(1)\n    if len(n) > 1: sys.exit(0)\n"
    script += "signal.signal(signal.SIGTERM, note)\nprint('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
    reader, writer = os.pipe()
    one = watch.add(child([sys.executable, "-c", f"import os; os.dup2({writer}, 1)\n{script}"], stop_seconds=30.0))
    assert one.process is not None
    one.process.kill()
    one.process.wait()
    one.process = subprocess.Popen(one.command, pass_fds=[writer], start_new_session=True)
    assert os.read(reader, 10).startswith(b"ready")
    watch.impatient = True
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 5.0
    assert said == []
    os.close(reader)
    os.close(writer)
