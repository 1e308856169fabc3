"""Imports point inward, and the pure rings live without any framework (docs/architecture.md, import rules)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, modules

REFUSED = ("django", "redis", "rq", "django_rq", "channels", "asgiref")

OTHER_READERS = {
    "orchestrations/web/assets.py": "a finder of static files: npm's folder is a path of the site, no setting of ours",
}

SCRIPT = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ImportError(f"{{name}} must not be imported here")

sys.meta_path.insert(0, Refuse())
for name in {names}:
    importlib.import_module(name)
print("imported")
"""


def run(names: list[str]) -> subprocess.CompletedProcess[str]:
    """Import the modules in a process that refuses every framework."""
    script = SCRIPT.format(refused=set(REFUSED), names=names)
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


def test_door_and_pure_rings_import_without_any_framework() -> None:
    pure = modules("orchestrations/engine", "orchestrations/authoring")
    names = ["orchestrations", "orchestrations.errors"]
    names += [source.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for source in pure]
    result = run(names)
    assert result.stdout.strip() == "imported", result.stderr


@pytest.mark.parametrize("name", ["django", "orchestrations.store.models", "rq"])
def test_what_needs_a_framework_is_really_refused_there(name: str) -> None:
    """The test above could not fail otherwise."""
    assert "must not be imported here" in run([name]).stderr


def test_only_conf_reads_djangos_settings() -> None:
    """One reader; models may name the user model, and what builds the settings is no reader of them."""
    readers = set()
    for source in modules("orchestrations"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "django.conf":
                readers |= {source.name for alias in node.names if alias.name == "settings"}
            elif isinstance(node, ast.Import):
                readers |= {source.name for alias in node.names if alias.name == "django.conf"}
    readers -= {"orchestrations/conf.py", *OTHER_READERS}
    for name in list(readers):
        if name.endswith("models.py") and _uses_only_user_model(name):
            readers.discard(name)
    assert readers == set()


def _uses_only_user_model(name: str) -> bool:
    tree = ast.parse((ROOT / name).read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    return used == {"AUTH_USER_MODEL"}
