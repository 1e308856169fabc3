"""Imports point inward, and the pure rings live without any framework (docs/architecture.md, import rules)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from graphlib import TopologicalSorter
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
    names += [_dotted(source.name) for source in pure]
    result = run(names)
    assert result.stdout.strip() == "imported", result.stderr


@pytest.mark.parametrize("name", ["django", "orchestrations.store.models", "rq"])
def test_what_needs_a_framework_is_really_refused_there(name: str) -> None:
    """The test above could not fail otherwise."""
    assert "must not be imported here" in run([name]).stderr


def test_no_modules_import_each_other_in_a_circle_not_even_for_types() -> None:
    """What is imported within a function is left out: it is the way to load something late."""
    names = {_dotted(source.name): source for source in modules()}
    graph = {name: _imported(source.tree.body) & set(names) - {name} for name, source in names.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_import_for_types_counts_for_a_circle() -> None:
    source = "import a.b\nif TYPE_CHECKING:\n    from c import d\ndef f():\n    import late\n"
    assert _imported(ast.parse(source).body) == {"a.b", "c", "c.d"}


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
        if name.startswith("orchestrations/store/models/") and _uses_only_user_model(name):
            readers.discard(name)
    assert readers == set()


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(statements: Sequence[ast.stmt]) -> set[str]:
    """Return what statements import, and what may be a module of that name, outside of functions."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.ImportFrom) and statement.module:
            found |= {statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)}
        elif isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        found |= _imported([inner for inner in ast.iter_child_nodes(statement) if isinstance(inner, ast.stmt)])
    return found


def _uses_only_user_model(name: str) -> bool:
    tree = ast.parse((ROOT / name).read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "settings"
    }
    return used == {"AUTH_USER_MODEL"}
