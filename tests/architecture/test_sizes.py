"""Nothing grows too big unnoticed. What is bigger stands in a list, with its reason."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from statistics import median

from tests.architecture.sources import ROOT, Source, length, modules, relative, scripts, templates

MEDIAN_LINES = 120
MODULE_LINES, FUNCTION_LINES, VIEW_LINES, PARTIAL_LINES, SCRIPT_LINES = 300, 40, 25, 60, 150

ALLOWED: dict[str, str] = {}
"""Path, or path:function → why it may be bigger."""


def test_modules_have_at_most_300_lines() -> None:
    sizes = {source.name: len(source.text.splitlines()) for source in modules()}
    assert _too_big(sizes, MODULE_LINES) == {}


def test_half_of_the_modules_have_at_most_120_lines() -> None:
    assert median(len(source.text.splitlines()) for source in modules()) <= MEDIAN_LINES


def test_no_line_holds_three_statements() -> None:
    assert [place for source in modules() for place in _crowded(source)] == []
    found = [f"{relative(path)}:{n}" for path in scripts() for n in _crowded_lines(path.read_text())]
    assert found == []


def test_crowded_lines_are_found() -> None:
    lines = ["a(); b();", "a(); b(); c();", "for (a; b; c) d();", "const text = 'a; b; c; d';", "x(); // a; b; c"]
    assert _crowded_lines("\n".join(lines)) == [2]


def test_complexity_of_functions_is_bounded_by_the_linter() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert ("C90" in lint["select"], lint["mccabe"]["max-complexity"]) == (True, 10)
    assert [source.name for source in modules() if "noqa: C901" in source.text] == []


def test_functions_have_at_most_40_lines() -> None:
    sizes = {name: length(node) for source in modules() for name, node in source.functions()}
    assert _too_big(sizes, FUNCTION_LINES) == {}


def test_view_functions_have_at_most_25_lines() -> None:
    views = [source for source in modules("orchestrations") if "/views" in source.name]
    sizes = {name: length(node) for source in views for name, node in source.functions()}
    assert _too_big(sizes, VIEW_LINES) == {}


def test_template_partials_have_at_most_60_lines() -> None:
    partials = [path for path in templates() if path.name.startswith("_")]
    sizes = {relative(path): len(path.read_text().splitlines()) for path in partials}
    assert _too_big(sizes, PARTIAL_LINES) == {}


def test_browser_modules_have_at_most_150_lines() -> None:
    sizes = {relative(path): len(path.read_text().splitlines()) for path in scripts()}
    assert _too_big(sizes, SCRIPT_LINES) == {}


def test_exceptions_exist_and_say_why() -> None:
    found = {source.name for source in modules()} | {n for s in modules() for n, _ in s.functions()}
    found |= {relative(path) for path in (*templates(), *scripts())}
    assert set(ALLOWED) <= found
    assert all(len(reason) > 20 for reason in ALLOWED.values())


def _crowded(source: Source) -> list[str]:
    """Return the lines of a module on which three statements or more begin."""
    lines = Counter(node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.stmt))
    return [f"{source.name}:{line}" for line, count in lines.items() if count > 2]


def _crowded_lines(script: str) -> list[int]:
    """Return the lines of a script that hold three statements or more; texts, comments and loops do not count."""
    plain = [re.sub(r"//.*|for \(.*?\)|'.*?'|\".*?\"|`.*?`", "", line) for line in script.splitlines()]
    return [number for number, line in enumerate(plain, 1) if line.count(";") > 2]


def _too_big(sizes: dict[str, int], limit: int) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > limit and name not in ALLOWED}
