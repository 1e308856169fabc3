"""One's own functions in a running copy: found, migrated, started again when they change, and apart when broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.project.test_launcher import Copy, run_copy
from tests.project.test_watch import wait_for

pytestmark = pytest.mark.slow
once = pytest.mark.skipif(not servers.is_first_variant(), reason="depends neither on the database nor on replay")

DURABLE = """
from orchestrations import DurableClient, activity, orchestrator
from shop.models import Sale

@orchestrator
def Order(context):
    return (yield context.call_activity("Sell", context.get_input()))

@activity
def Sell(name):
    Sale.objects.create(name=name)
    return ["one", Sale.objects.count()]
"""
MODELS = """
from django.db import models

class Sale(models.Model):
    name = models.TextField()
"""
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    fields = [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]
    operations = [migrations.CreateModel("Sale", fields)]
"""
SECOND_MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.AddField("Sale", "price", models.IntegerField(default=3))]
"""
FLOW = """
from orchestrations import orchestrator

@orchestrator
def Flow(context):
    return "flow"
"""
TWIN = "from orchestrations import orchestrator\n\n@orchestrator\ndef Order(context): ...\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """An app with a model, a file with a mistake and one with a taken name, in a folder with a blank in its name."""
    folder = tmp_path / "my code"
    files = {
        "shop/__init__.py": "",
        "shop/durable.py": DURABLE,
        "shop/models.py": MODELS,
        "shop/migrations/__init__.py": "",
        "shop/migrations/0001_initial.py": MIGRATION,
        "flows.py": f"{FLOW}\ndef broken(:\n",
        "twins.py": TWIN,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def start(copy: Copy, name: str, *arguments: str) -> str:
    done = copy.manage("durable", "start", name, "--wait", "--timeout", "30", *arguments)
    return done.stdout.strip() or done.stderr


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """A database of its own for a copy: its home's, or a new one on the run's PostgreSQL."""
    if servers.database_kind() == "sqlite":
        yield {}
        return
    name = f"own_{os.getpid()}"
    with psycopg.connect(servers.postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": servers.postgres_url(name)}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.skipif(servers.always_replays(), reason="does not depend on replay")
def test_own_functions_run_change_and_stay(tmp_path: Path, code: Path, database: dict[str, str]) -> None:
    apps = f"{code}/shop,{code}/flows.py,{code}/twins.py"
    home = tmp_path / "home"
    with run_copy(home, "--apps", apps, DURABLE_SAMPLES="0", **database) as copy:
        copy.wait_until_welcome()
        assert copy.is_ready()
        assert copy.said().count(f"flows cannot be used: {code}/flows.py, line 8: SyntaxError: invalid syntax") == 1
        assert copy.said().count(f"twins cannot be used: {code}/twins.py, line 3: DuplicateFunctionError: ") == 1
        assert "Traceback" not in copy.said()
        assert start(copy, "Order", "--input", '"apple"').splitlines()[0] == '["one", 1]'
        assert "NotRegistered" not in start(copy, "Flow")
        _change_files(copy, code)
        assert copy.stop() == 0

    stopped = Copy.__new__(Copy)
    stopped.home = copy.home
    done = stopped.manage("durable", "start", "Order", "--id", "late", "--input", '"fig"')
    assert (done.returncode, done.stdout) == (0, "late\n")
    assert "warning: No worker runs here. It waits until one does: " in done.stderr

    (code / "flows.py").unlink()
    with run_copy(home, **database) as again:
        again.wait_until_welcome(count=2)
        assert f"your functions are in {code}/shop, {code}/flows.py, {code}/twins.py" in again.said()
        wait_for(lambda: "Completed" in again.manage("durable", "status", "late").stdout)
        assert f"{code}/flows.py cannot be used: there is no {code}/flows.py" in again.said()
        assert again.stop() == 0
    with run_copy(home, "--apps", "", **database) as empty:
        empty.wait_until_welcome(count=3)
        assert "Order" not in empty.manage("durable", "functions").stdout


def _change_files(copy: Copy, code: Path) -> None:
    """What runs functions is started again, gently, and what others build on is not."""
    queue, workers, web = copy.child("valkey"), copy.child("durable_worker"), copy.child("durableweb.server")
    (code / "flows.py").write_text(FLOW)
    (code / "shop" / "durable.py").write_text(DURABLE.replace('"one"', '"two"'))
    wait_for(lambda: sells(copy, "two"), 40)
    wait_for(copy.is_ready, 30)
    assert not {workers, web} & set(copy.children().values())
    assert start(copy, "Flow").splitlines()[0] == '"flow"'
    assert re.search(r"(durable|flows)\.py.* changed; starting the web server and the workers again", copy.said())

    shutil.copytree(code / "shop", code / "away")
    shutil.rmtree(code / "shop")
    shutil.move(code / "away", code / "shop")
    said = copy.said()
    wait_for(lambda: " changed; " in copy.said().removeprefix(said), 20)
    (code / "shop" / "migrations" / "0002_sale_price.py").write_text(SECOND_MIGRATION)
    (code / "shop" / "models.py").write_text(f"{MODELS}    price = models.IntegerField(default=3)\n")
    (code / "shop" / "durable.py").write_text(DURABLE.replace('"one"', "Sale.objects.latest('id').price"))
    wait_for(lambda: sells(copy, 3), 40)
    assert copy.child("valkey") == queue
    assert " ended (" not in copy.said()


def sells(copy: Copy, wanted: object) -> bool:
    """Order something; tell whether the code that did it is the one that is wanted."""
    try:
        return bool(json.loads(start(copy, "Order", "--input", '"pear"').splitlines()[0])[0] == wanted)
    except ValueError:
        return False


@once
def test_whatever_part_of_an_app_is_broken_all_others_run(tmp_path: Path, code: Path) -> None:
    parts = {"one": "__init__", "two": "models", "three": "apps", "four": "durable", "five": "migrations/0001_initial"}
    for name, part in parts.items():
        shutil.copytree(code / "shop", code / name)
        (code / name / f"{part}.py").write_text("import nothing_like_this\n")
        if part != "durable":
            (code / name / "durable.py").unlink()
    (code / "flows.py").write_text(FLOW)
    apps = ",".join(str(code / name) for name in (*parts, "flows.py"))
    with run_copy(tmp_path / "home", "--apps", apps, DURABLE_SAMPLES="0") as copy:
        copy.wait_until_welcome()
        assert copy.is_ready()
        assert "Traceback" not in copy.said()
        done = copy.manage("durable", "start", "Flow", "--wait", "--timeout", "30")
        assert done.stdout == '"flow"\n'
        lines = done.stderr.splitlines()
        assert len(lines) == len(parts), done.stderr
        for name, part in parts.items():
            reason = f"{code}/{name}/{part}.py, line 1: ModuleNotFoundError: No module named 'nothing_like_this'"
            assert reason in copy.said()
            assert sum(line.endswith(f"cannot be used: {reason}.") for line in lines) == 1, name


@once
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}/no where", "error: APPS names '{}/no where', but there is no {}/no where."),
        ("{}", "error: APPS names '{}', but {} has neither a __init__.py, as a Django app has, nor a durable.py."),
    ],
)
def test_make_refuses_an_app_that_is_not_there_in_one_line(tmp_path: Path, text: str, sentence: str) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(tmp_path / "home"), "PORT": str(servers.free_port())}
    command = ["make", "-o", "setup", "run", f"APPS={text.format(folder)}"]
    done = subprocess.run(
        command, cwd=servers.PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.splitlines()[0] == sentence.format(folder, folder)
    assert "Traceback" not in done.stderr


@once
def test_a_foreign_settings_module_is_refused_and_one_made_from_ours_is_used(tmp_path: Path, code: Path) -> None:
    (code / "theirs.py").write_text("SECRET_KEY = 'x'\n")
    (code / "mine.py").write_text("from durableweb.settings import *\nDURABLE_MODULES = ['flows']\n")
    (code / "flows.py").write_text(FLOW)
    for name, sentence in (
        ("theirs", "error: DJANGO_SETTINGS_MODULE is 'theirs', settings of another project. Unset it to run with "),
        ("nowhere.settings", "error: DJANGO_SETTINGS_MODULE is 'nowhere.settings', which cannot be imported (Module"),
    ):
        with run_copy(tmp_path / "home", DJANGO_SETTINGS_MODULE=name, PYTHONPATH=str(code)) as copy:
            assert copy.process.wait(20) == 2
            assert sentence in copy.said()
            assert "Traceback" not in copy.said()
    with run_copy(tmp_path / "own", DJANGO_SETTINGS_MODULE="mine", PYTHONPATH=str(code)) as copy:
        copy.wait_until_welcome()
        assert "the settings are mine, as DJANGO_SETTINGS_MODULE says" in copy.said()
        assert start(copy, "Flow") == '"flow"'
