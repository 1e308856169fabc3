"""What the system checks find is said when workers start; only our own errors keep them from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers
from tests.project.test_watch import wait_for

pytestmark = pytest.mark.slow

CLOCK = """
import time
from orchestrations import orchestrator

@orchestrator
def Impatient(context):
    time.sleep(1)
"""
BAD_MODEL = """
from django.db import models

class Bad(models.Model):
    name = models.CharField()
    objects = 5
    class Meta:
        ordering = ["nothing"]
"""


def start_workers(home: Path, **values: str) -> tuple[int | None, str]:
    """Start a supervisor, and end it once a worker runs; return its exit code if it ended by itself, and its words."""
    environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(home), "SECRET_KEY": servers.SECRET_KEY, **values}
    manage = [sys.executable, str(servers.PROJECT / "manage.py")]
    subprocess.run([*manage, "migrate", "-v", "0", "--skip-checks"], env=environment, check=True, timeout=120)
    log = home / "workers.log"
    with log.open("wb") as output:
        process = servers.spawn(
            [*manage, "durable_worker", "--workers", "1"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: process.poll() is not None or "worker.started" in log.read_text(), 60)
        return process.poll(), log.read_text()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


def test_an_apps_mistakes_are_said_and_workers_start(home: Path, tmp_path: Path) -> None:
    for name, text in {"__init__": "", "durable": CLOCK, "models": BAD_MODEL}.items():
        (tmp_path / "shop").mkdir(exist_ok=True)
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    code, said = start_workers(home, DURABLE_APPS=str(tmp_path / "shop"))
    assert code is None
    assert f"{tmp_path}/shop/durable.py:7: the orchestrator 'Impatient' uses time.sleep (clock)." in said
    assert "check.failed id=models.E015" in said
    assert "Traceback" not in said


def test_a_setting_that_would_harm_others_keeps_workers_from_starting(home: Path) -> None:
    code, said = start_workers(home, DURABLE_LEASE_SECONDS="10", DURABLE_BEAT_SECONDS="9")
    assert code == 2
    assert said.splitlines()[-1].startswith("error: DURABLE_BEAT_SECONDS is 9, more than half of DURABLE_LEASE_SECONDS")
