"""The lint finds what a replay would not repeat, says what to do instead, and holds the pure rings to it."""

from __future__ import annotations

import functools
from datetime import datetime
from pathlib import Path
from time import sleep as pause
from typing import Any

import pytest

import orchestrations
from orchestrations import checks
from orchestrations.authoring.lint import ADVICE, check_function, check_source
from orchestrations.authoring.registry import ACTIVITY, ORCHESTRATOR, Function, Registry, registry

ROOT = Path(orchestrations.__file__).parent
PURE = sorted([*(ROOT / "engine").glob("*.py"), *(ROOT / "authoring").glob("*.py"), ROOT / "errors.py"])


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("from datetime import datetime\ndatetime.now()", "clock"),
        ("import datetime\ndatetime.datetime.now(datetime.UTC)", "clock"),
        ("import datetime as dt\ndt.datetime.utcnow()", "clock"),
        ("from datetime import date\ndate.today()", "clock"),
        ("from django.utils import timezone\ntimezone.now()", "clock"),
        ("import time\ntime.sleep(1)", "clock"),
        ("from time import time\ntime()", "clock"),
        ("import random", "randomness"),
        ("from random import choice as pick\npick([1])", "randomness"),
        ("import uuid\nuuid.uuid4()", "randomness"),
        ("from uuid import uuid4\nuuid4()", "randomness"),
        ("import os\nos.urandom(8)", "randomness"),
        ("hash('a')", "randomness"),
        ("import os\nos.environ['HOME']", "environment"),
        ("import os\nos.getenv('HOME')", "environment"),
        ("open('file')", "IO"),
        ("print('again on every replay')", "IO"),
        ("import requests", "IO"),
        ("from urllib.request import urlopen", "IO"),
        ("import os\nfor entry in os.walk('.'): pass", "IO"),
        ("from pathlib import Path\nPath('x').read_text()", "IO"),
        ("import subprocess\nsubprocess.run(['ls'])", "IO"),
        ("import threading", "threads"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(1)", "threads"),
        ("from concurrent.futures import ThreadPoolExecutor", "threads"),
    ],
)
def test_what_a_replay_would_not_repeat_is_found(source: str, kind: str) -> None:
    found = check_source(source)
    assert {f.kind for f in found} == {kind}
    assert ADVICE[kind] in str(found[0])


@pytest.mark.parametrize(
    "source",
    [
        "def f(context):\n    yield context.create_timer(context.current_utc_datetime)",
        "from datetime import datetime, timedelta, UTC\ndatetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1)",
        "from uuid import UUID, uuid5\nuuid5(UUID(int=0), 'a')",
        "def f(context):\n    context.logger.info('fine')\n    return context.new_uuid()",
        "import json, re, math\njson.loads('1')",
        "now = 5\nself.now()",
        "import os.path\nos.path.join('a', 'b')",
    ],
)
def test_what_a_replay_repeats_is_let_be(source: str) -> None:
    assert check_source(source) == []


def decides_by_the_clock(context: Any) -> Any:
    if datetime.now().hour > 12:
        yield context.call_activity("A")


def test_function_is_checked_with_the_lines_of_its_file() -> None:
    finding = check_function(decides_by_the_clock)
    line = decides_by_the_clock.__code__.co_firstlineno + 1
    assert [(f.line, f.kind, f.what) for f in finding] == [(line, "clock", "datetime.now")]
    assert str(finding[0]) == f"line {line}: datetime.now (clock). {ADVICE['clock']}"


def sleeps(context: Any) -> Any:
    pause(1)
    yield context.call_activity("A")


def test_what_the_module_imports_is_known_by_its_name_there() -> None:
    assert [f.what for f in check_function(sleeps)] == ["time.sleep"]
    assert [f.what for f in check_function(functools.wraps(sleeps)(lambda context: sleeps(context)))] == ["time.sleep"]


def test_system_check_warns_of_an_orchestrator_with_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Registry()
    monkeypatch.setattr(checks, "registry", held)
    held.add(Function(ORCHESTRATOR, "Sleeps", sleeps, 1))
    held.add(Function(ORCHESTRATOR, "Fine", lambda context: None, 1))
    held.add(Function(ORCHESTRATOR, "NoSource", eval("lambda context: print()"), 1))
    held.add(Function(ORCHESTRATOR, "NoFunction", len, 1))
    held.add(Function(ACTIVITY, "MaySleep", sleeps, 1))
    [warning] = checks.check_orchestrators(None)
    assert warning.id == "orchestrations.W010"
    line = sleeps.__code__.co_firstlineno + 1
    assert warning.msg == f"{__file__}:{line}: the orchestrator 'Sleeps' uses time.sleep (clock)."
    assert warning.hint == ADVICE["clock"]


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pure_rings_have_no_clock_no_chance_and_no_io(path: Path) -> None:
    """`id` tells apart objects of one call, and nothing that is kept depends on it."""
    found = [f for f in check_source(path.read_text()) if f.what != "id"]
    assert found == []


def test_samples_orchestrators_are_clean() -> None:
    """What we show to authors keeps the rules that we tell them."""
    samples = [f for f in registry.functions() if f.kind == ORCHESTRATOR and ".samples." in f.call.__module__]
    assert samples
    assert {f.name: check_function(f.call) for f in samples if check_function(f.call)} == {}
