"""What an entry of APPS names, what is refused with which sentence, and what one app's mistake costs the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from durableweb import own_apps
from durableweb.launcher import changes
from durableweb.own_apps import OwnApp, UnusableApp, find
from tests import servers

LOUD = "raise SystemExit('imported')\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a blank in its name, in which nothing may be imported."""
    folder = tmp_path / "my code"
    files = ["shop/__init__.py", "shop/orders/__init__.py", "shop/orders/durable.py", "scripts/durable.py", "flows.py"]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(LOUD)
    return folder


def test_a_folder_with_init_is_an_app_under_the_name_that_python_gives_it(place: Path) -> None:
    entry = str(place / "shop" / "orders")
    assert find(entry) == OwnApp(entry, "shop.orders", place, place / "shop" / "orders")
    entry = str(place / "shop" / "orders" / "__init__.py")
    assert (find(entry).name, find(entry).is_module) == ("shop.orders", False)


def test_a_folder_without_init_is_a_place_of_scripts(place: Path) -> None:
    entry = str(place / "scripts")
    assert find(entry) == OwnApp(entry, "durable", place / "scripts", place / "scripts", is_module=True)


def test_a_file_is_a_module_and_one_in_a_package_has_its_name(place: Path) -> None:
    flows, inner = find(str(place / "flows.py")), find(str(place / "shop" / "orders" / "durable.py"))
    assert (flows.name, flows.root, flows.is_module) == ("flows", place, True)
    assert (inner.name, inner.root, inner.is_module) == ("shop.orders.durable", place, True)


def test_a_relative_path_counts_from_the_working_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "shop")
    for entry in ("orders", "./orders", "../shop/orders/"):
        assert find(entry).name == "shop.orders", entry
        assert own_apps.absolute(find(entry)).startswith(str(place)), entry


def test_a_dotted_name_is_found_without_importing_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    assert find("shop.orders") == OwnApp("shop.orders", "shop.orders", None, place / "shop" / "orders")
    assert find("flows").is_module
    assert find("shop.orders.durable").is_module
    (place / "shop" / "apps.py").write_text(LOUD)
    assert not find("shop.apps.ShopConfig").is_module
    assert not {"shop", "flows"} & set(sys.modules)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{}/nowhere", "there is no {}/nowhere."),
        ("{}/notes.txt", "{}/notes.txt is neither a folder nor a Python file."),
        ("{}/empty", "{}/empty has neither a __init__.py, as a Django app has, nor a durable.py."),
        ("{}/orders-v2.py", "'orders-v2' is no name that Python can import; rename it to letters, digits and _."),
        ("{}/class.py", "'class' is no name that Python can import"),
        ("{}/email.py", "the name 'email' is taken by "),
        ("{}/sys.py", "the name 'sys' is taken by Python itself; rename {}/sys"),
        ("{}/redis", "the name 'redis' is taken by "),
        ("{}/orchestrations.py", "the name 'orchestrations' is taken by "),
        ("no such name", "it is neither a path nor a dotted name."),
        ("nobody_has_this", "there is neither a path nor a module 'nobody_has_this'; PYTHONPATH may say where"),
        ("django.nothing", "there is no 'nothing' in "),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_would_do(tmp_path: Path, entry: str, sentence: str) -> None:
    for name in (
        "notes.txt",
        "orders-v2.py",
        "class.py",
        "email.py",
        "sys.py",
        "redis/__init__.py",
        "orchestrations.py",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(LOUD)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableApp) as caught:
        find(entry.format(tmp_path))
    assert str(caught.value).startswith(sentence.format(tmp_path))


def test_a_folder_that_has_the_name_of_a_mere_folder_of_ours_is_no_clash(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "__init__.py").write_text(LOUD)
    assert find(str(tmp_path / "docs")).name == "docs"


FUNCTION = "from orchestrations import activity\n@activity\ndef {}(_): ...\n"
CONFIG = """
from django.apps import AppConfig

class OddConfig(AppConfig):
    name = "odd"
    label = "quite_odd"

    def ready(self):
        from odd.durable import Odd
        {}
"""


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    """Apps that would each end Django's start, and one that is sound."""
    files = {
        "sessions/__init__.py": "",
        "sessions/durable.py": FUNCTION.format("OfSessions"),
        "odd/__init__.py": "",
        "odd/apps.py": CONFIG.format("raise KeyError('ready')"),
        "odd/durable.py": FUNCTION.format("Odd"),
        "first/durable.py": FUNCTION.format("First") + "import neighbour\n",
        "first/neighbour.py": FUNCTION.format("Neighbour"),
        "second/durable.py": FUNCTION.format("Second"),
        "table.py": "from django.db import models\nclass Table(models.Model): ...\n",
        "sound/__init__.py": "",
        "sound/durable.py": FUNCTION.format("Sound"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def functions(apps: Path, *names: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DURABLE_HOME": str(apps / "home"), "SECRET_KEY": servers.SECRET_KEY}
    environment["DURABLE_APPS"] = ",".join(str(apps / name) for name in names)
    command = [sys.executable, str(servers.PROJECT / "manage.py"), "durable", "functions"]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60)


def test_each_apps_mistake_is_one_line_and_the_sound_one_works(apps: Path) -> None:
    done = functions(apps, "sessions", "odd", "first", "second", "table.py", "nothing.py", "sound", "sound")
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]] == ["First", "Neighbour", "Sound"]
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(" cannot be used: ")[0] for line in lines] == [
        f"warning: {name}" for name in ("sessions", f"{apps}/second", f"{apps}/nothing.py", "table", "odd")
    ]
    assert "its label 'sessions' is that of 'django.contrib.sessions'" in lines[0]
    assert f"the name 'durable' is taken by {apps}/first/durable.py; rename {apps}/second/durable." in lines[1]
    assert f"there is no {apps}/nothing.py." in lines[2]
    assert f"{apps}/table.py, line 2: RuntimeError: Model class table.Table doesn't declare" in lines[3]
    assert f"{apps}/odd/apps.py, line 10: KeyError: 'ready'" in lines[4]


def test_an_apps_own_configuration_is_used(apps: Path) -> None:
    (apps / "odd" / "apps.py").write_text(CONFIG.format("assert Odd.__module__ == f'{self.name}.durable'"))
    done = functions(apps, "odd")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Odd" in done.stdout


def test_a_files_neighbours_count_as_far_as_they_are_imported(tmp_path: Path) -> None:
    texts = {
        "shop": "import prices.net\nimport os",
        "prices": "from taxes import rate",
        "taxes": "(",
        "buy": "import shop",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    found = changes.with_neighbours({tmp_path / "shop.py"})
    assert sorted(path.name for path in found) == ["prices.py", "shop.py", "taxes.py"]


def test_an_app_in_a_package_is_watched_with_all_of_the_package_and_what_is_gone_may_come_back(place: Path) -> None:
    for entry in ("shop/orders", "shop/orders/durable.py", "shop"):
        assert changes.watched_place(str(place / entry)) == place / "shop"
    assert changes.watched_place(str(place / "flows.py")) == place / "flows.py"
    assert changes.watched_place(str(place / "gone")) == place / "gone"


def test_a_folder_of_modules_without_the_one_that_is_imported_is_told(apps: Path) -> None:
    assert not own_apps.lacks_functions(str(apps / "sound"))
    (apps / "sound" / "durable.py").rename(apps / "sound" / "shop.py")
    assert own_apps.lacks_functions(str(apps / "sound"))
    assert not own_apps.lacks_functions(str(apps / "table.py"))
    assert not own_apps.lacks_functions(str(apps / "gone"))
