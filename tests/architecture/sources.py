"""What the architecture tests look at: the files of the product, without what tools and package managers left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestrations", "durableweb")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """A Python module of the product."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """What is in it."""
        return self.path.read_text()

    @property
    def tree(self) -> ast.Module:
        """What is in it, parsed."""
        return ast.parse(self.text)

    def functions(self) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        """Yield all functions and methods, nested ones too, with their names."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{self.name}:{node.name}", node


def modules(*packages: str) -> list[Source]:
    """Return the modules of the packages (of all, if none is named) without migrations, sorted."""
    found = [p for package in packages or PACKAGES for p in (ROOT / package).rglob("*.py")]
    return [Source(p) for p in sorted(found) if "migrations" not in p.parts]


def templates() -> list[Path]:
    """Return all templates."""
    places = [ROOT / "templates", *(ROOT / package for package in PACKAGES)]
    return sorted(p for place in places if place.exists() for p in place.rglob("*.html"))


def scripts() -> list[Path]:
    """Return our own browser modules."""
    places = [ROOT / "static", *(ROOT / package for package in PACKAGES)]
    return sorted(p for place in places if place.exists() for p in place.rglob("*.js"))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function, without decorators and docstring."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node) is not None
    skipped = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - skipped


def relative(path: Path) -> str:
    """Return a path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()
