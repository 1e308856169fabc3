"""Nothing grows too big unnoticed. What is bigger stands in a list, with its reason."""

from __future__ import annotations

from tests.architecture.sources import length, modules, relative, scripts, templates

MODULE_LINES, FUNCTION_LINES, VIEW_LINES, PARTIAL_LINES, SCRIPT_LINES = 300, 40, 25, 60, 150

ALLOWED: dict[str, str] = {}
"""Path, or path:function → why it may be bigger."""


def test_modules_have_at_most_300_lines() -> None:
    sizes = {source.name: len(source.text.splitlines()) for source in modules()}
    assert _too_big(sizes, MODULE_LINES) == {}


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


def _too_big(sizes: dict[str, int], limit: int) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > limit and name not in ALLOWED}
