"""What an entry of APPS names, and what is refused with which sentence. Nothing of it is imported to find out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from durableweb import own_apps
from durableweb.own_apps import OwnApp, UnusableApp, find

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
