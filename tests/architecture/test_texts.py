"""Docstrings, templates, left-over notes and migrations are as the architecture says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from tests.architecture.sources import ROOT, Definition, Source, modules, relative, scripts, templates

# Django and RQ call these by name; their own documentation says what they do
FRAMEWORK_NAMES = {"__init__", "Meta", "Media", "ready", "handle", "add_arguments", "clean", "save", "get_queryset"}
INLINE = [
    (re.compile(r"<style\b", re.I), "a style element"),
    (re.compile(r"<[^>%]+\sstyle\s*=", re.I), "a style attribute"),
    (re.compile(r"<[^>%]+\son[a-z]+\s*=", re.I), "an event attribute"),
    (re.compile(r"<script\b(?![^>]*\ssrc=)(?![^>]*application/json)[^>]*>", re.I), "an inline script"),
    (re.compile(r"javascript:", re.I), "a javascript: URL"),
    (re.compile(r"\bhx-on\b|hx-vals\s*=\s*['\"]js:|\bhx-vars\b", re.I), "code in an htmx attribute"),
]
NOTE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.*#\d+)")


@pytest.mark.parametrize("source", modules("orchestrations"), ids=lambda source: source.name)
def test_everything_public_says_what_it_is(source: Source) -> None:
    if source.text.strip():
        assert list(_without_docstring(source)) == []


def test_templates_have_no_inline_style_or_script() -> None:
    """The content security policy would refuse it."""
    found = [
        f"{relative(path)}:{number}: {what}"
        for path in templates()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for pattern, what in INLINE
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "<style>",
        '<p class="a" style="color:red">',
        '<a onclick="x()">',
        "<script>alert(1)</script>",
        "<script nonce='x'>",
        '<a href="javascript:x()">',
        '<b hx-on:click="x">',
    ],
)
def test_inline_code_would_be_found(line: str) -> None:
    assert any(pattern.search(line) for pattern, _ in INLINE)


def test_no_note_is_left_without_an_issue() -> None:
    paths = [*(source.path for source in modules()), *templates(), *scripts(), *(ROOT / "tests").rglob("*.py")]
    found = [
        f"{relative(path)}:{number}"
        for path in paths
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if NOTE.search(line)
    ]
    assert found == []


def test_migrations_say_what_the_models_say() -> None:
    """`makemigrations` would find nothing to do; no database is asked."""
    loader = MigrationLoader(None)
    detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
    assert detector.changes(graph=loader.graph).get("orchestrations", []) == []


def test_every_index_says_which_query_it_is_for() -> None:
    """In a comment above it."""
    found = [
        (f"{source.name}:{number}", _has_comment_above(lines, number - 1))
        for source in modules("orchestrations/store/models")
        for lines in [source.text.splitlines()]
        for number, line in enumerate(lines, 1)
        if "models.Index(" in line
    ]
    assert found
    assert [place for place, has_comment in found if not has_comment] == []


def _has_comment_above(lines: list[str], place: int) -> bool:
    """Skip the indexes that share the comment."""
    while place > 0 and "models.Index(" in lines[place]:
        place -= 1
    return lines[place].strip().startswith("#")


def _without_docstring(source: Source) -> Iterator[str]:
    tree = source.tree
    if ast.get_docstring(tree) is None:
        yield f"{source.name}: the module"
    yield from _missing(tree, source.name)


def _missing(parent: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, Definition) or node.name.startswith("_") or node.name in FRAMEWORK_NAMES:
            continue
        is_plain = isinstance(parent, ast.ClassDef) and _is_plain(node)
        if ast.get_docstring(node) is None and not is_plain and not _is_overload(node):
            yield f"{where}: {node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _missing(node, f"{where}: {node.name}")


def _is_plain(node: Definition) -> bool:
    """A property, or a method of few statements: its name says it all; so does a form's check of one field."""
    is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
    return is_property or len(node.body) <= 3 or node.name.startswith("clean_")


def _is_overload(node: Definition) -> bool:
    names = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
    return bool(names & {"overload", "setter"})
