"""The project's description is true: what README and docs/architecture.md name is there, and what is there is named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, modules, relative

DOCUMENTS = ("README.md", "docs/architecture.md", "docs/semantics.md", "docs/errors.md", "benchmarks/README.md")
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
ANCHOR = re.compile(r"\]\(#([\w-]+)\)")
TOP = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
RULE = re.compile(r"\b[A-Z]{3,4}-\d+\b")
NO_RULES = {"ISO-8601", "UTF-8"}
PLACE = re.compile(r"[\w./-]+(:\w+)?/?")


def spans(document: str) -> Iterator[str]:
    """Yield what stands between backticks, outside of fenced blocks."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(), flags=re.M | re.S)
    yield from SPAN.findall(text)


def places(document: str) -> set[str]:
    """Return the paths, each with or without a name in it, that a document mentions."""
    return {span for span in spans(document) if span.startswith(TOP) and PLACE.fullmatch(span)}


def names_in(path: Path) -> set[str]:
    """Return what a module defines at its top."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds)}


def is_there(place: str) -> bool:
    path, _, name = place.partition(":")
    return (ROOT / path).exists() and (not name or name in names_in(ROOT / path))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_path_and_name_that_a_document_mentions_exists(document: str) -> None:
    assert [place for place in sorted(places(document)) if not is_there(place)] == []
    folder = (ROOT / document).parent
    assert [link for link in LINK.findall((ROOT / document).read_text()) if not (folder / link).exists()] == []


def test_a_place_that_is_not_there_would_be_found() -> None:
    assert is_there("orchestrations/store/inbox.py:deliver")
    assert not is_there("orchestrations/store/inbox.py:deliver_twice")
    assert not is_there("orchestrations/store/mailbox.py")
    assert len(places("README.md")) > 40
    assert len(places("docs/architecture.md")) > 60


def test_the_architecture_names_each_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    named = {place.rstrip("/") for place in places("docs/architecture.md")} | {"orchestrations", "durableweb"}
    assert sorted({relative(folder) for folder in folders} - named) == []


def test_the_architecture_names_each_folder_of_tests() -> None:
    folders = {relative(path.parent) for path in (ROOT / "tests").glob("*/__init__.py")} - {"tests/app"}
    assert sorted(folders - places("docs/architecture.md")) == []


def test_links_within_the_architecture_have_their_heading() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in text.splitlines() if line[:3] == "## "
    }
    assert set(ANCHOR.findall(text)) == headings


def test_each_rule_that_the_code_names_is_in_the_semantics() -> None:
    known = set(RULE.findall((ROOT / "docs/semantics.md").read_text()))
    named = {(rule, source.name) for source in modules() for rule in RULE.findall(source.text)}
    assert sorted((rule, name) for rule, name in named if rule not in known | NO_RULES) == []
    assert len(known) > 60


def test_each_rule_has_one_place() -> None:
    text = (ROOT / "docs/semantics.md").read_text()
    defined = re.findall(r"\*\*([A-Z]{3,4}-\d+)\*\*", text)
    assert sorted(rule for rule in set(defined) if defined.count(rule) > 1) == []


def test_nothing_refers_to_a_section_of_a_text_that_is_not_here() -> None:
    sign = chr(0xA7)
    paths = [*(source.path for source in modules()), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    assert [relative(path) for path in paths if sign in path.read_text()] == []
