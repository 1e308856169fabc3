"""A worker is killed at each labelled point; another takes over, and nothing is lost or recorded twice.

The points are those of the way of one event: after the hint was popped, before and after the claim, before and after an
activity's side effect, before and after the turns' commit, and inside a wake. SIGSTOP makes a zombie: it wakes up with
old leases, and whatever it then writes must be refused.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrations.client import queries
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from tests.histories import count_events
from tests.workers import is_stopped, run_workers, stop_between_transactions, wait_until

POINTS = [
    *("popped", "before-claim", "after-claim", "before-activity", "after-activity"),
    *("before-commit", "after-commit", "before-wake"),
]
LEASE = {"DURABLE_LEASE_SECONDS": "2", "DURABLE_BEAT_SECONDS": "0.5"}

pytestmark = pytest.mark.chaos


def _finish(tmp_path: Path, faults: str) -> list[str]:
    """Run an instance whose first worker suffers the faults; return the traces of its activities."""
    client, path = DurableClient(), tmp_path / "traces"
    with run_workers(1, **LEASE, DURABLE_FAULTS=faults):
        instance_id = client.start_new("trace_all", client_input={"path": str(path), "count": 3})
        wait_until(lambda: queries.read_status(client.hub, instance_id) is Status.COMPLETED, 30.0)
    assert client.get_status(instance_id).output == 6
    assert count_events("TaskCompleted") == 6
    return path.read_text().splitlines()


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_at_a_point_loses_nothing(point: str, tmp_path: Path) -> None:
    # every worker process dies at its own second visit of the point, so several die one after the other
    traces = _finish(tmp_path, f"{point}:2:kill")
    assert len(set(traces)) == 6


@pytest.mark.parametrize(("point", "said"), [("before-commit", "turn.dropped"), ("after-activity", "result.refused")])
def test_a_zombie_with_old_leases_is_refused(point: str, said: str, tmp_path: Path) -> None:
    """It stops with its supervisor for longer than its lease: the other one goes on, and its own commit is dropped."""
    client, path = DurableClient(), tmp_path / "traces"
    with run_workers(1, **LEASE, DURABLE_FAULTS=f"{point}:2:stop=60") as zombie:
        pid = zombie.pids()[0]
        instance_id = client.start_new("trace_all", client_input={"path": str(path), "count": 3})
        wait_until(lambda: is_stopped(pid), 10.0, zombie.said)
        stop_between_transactions(zombie.process.pid)
        try:
            with run_workers(1, **LEASE):
                wait_until(lambda: queries.read_status(client.hub, instance_id) is Status.COMPLETED, 30.0)
        finally:
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: said in zombie.said(), 10.0, zombie.said)
            zombie.process.send_signal(signal.SIGCONT)
    assert client.get_status(instance_id).output == 6
    assert count_events("TaskCompleted") == 6
    assert len(set(path.read_text().splitlines())) == 6
