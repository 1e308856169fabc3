"""Finds in an orchestrator's source what a replay would not repeat: clocks, randomness, IO, threads.

It reads names, it does not run anything: what is hidden behind a helper of another module it cannot see. Activities may
do all of this. The product's own engine is held to the same rules by a test.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ADVICE = {
    "clock": "Use context.current_utc_datetime, or context.create_timer to wait.",
    "randomness": "Use context.new_uuid, or draw in an activity.",
    "environment": "Pass it as input, or read it in an activity.",
    "IO": "Move it into an activity.",
    "threads": "Use tasks of the context: task_all and task_any.",
}

Table = Mapping[str, tuple[str, ...]]

_MODULES: Table = {
    "clock": ("time",),
    "randomness": ("random", "secrets"),
    "IO": (
        *(
            "socket",
            "ssl",
            "http",
            "urllib.request",
            "requests",
            "httpx",
            "aiohttp",
            "subprocess",
            "shutil",
            "tempfile",
        ),
        *("sqlite3", "psycopg", "redis", "rq", "glob"),
    ),
    "threads": ("threading", "multiprocessing", "concurrent", "asyncio", "_thread"),
}
_CALLS: Table = {
    "clock": (
        *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "timezone.now", "timezone.localtime"),
    ),
    "randomness": ("uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4", "os.urandom", "hash", "id"),
    "environment": ("os.getenv", "os.environ.get", "os.getcwd", "os.getpid", "platform.node", "socket.gethostname"),
    "IO": (
        *("open", "input", "print", "exec", "eval", "os.listdir", "os.scandir", "os.walk", "os.remove", "os.system"),
        *("os.mkdir", "os.makedirs", "os.stat", "os.path.exists", "os.path.getsize", "os.path.getmtime"),
    ),
}
_ATTRIBUTES: Table = {"environment": ("os.environ",)}
_METHODS: Table = {
    "IO": ("read_text", "write_text", "read_bytes", "write_bytes", "iterdir", "rglob", "unlink", "mkdir")
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What would not be the same on replay. `line` counts from the first line of the source or file."""

    line: int
    kind: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what} ({self.kind}). {ADVICE[self.kind]}"


def check_function(function: Callable[..., Any]) -> list[Finding]:
    """Return what is found in a function's source, with lines of its file; `OSError` if there is no source.

    What its module imports is known by the names that it has there.
    """
    code = inspect.unwrap(function).__code__
    tree = ast.parse("".join(inspect.findsource(code)[0]))
    places = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
    inside = [
        n for n in places if _first_line(n) == code.co_firstlineno and getattr(n, "name", "<lambda>") == code.co_name
    ]
    return _check(inside, dict(_aliases(tree)))


def check_source(source: str) -> list[Finding]:
    """Return what is found in source code, in the order of its lines; `SyntaxError` if it is none."""
    tree = ast.parse(source)
    return _check([tree], dict(_aliases(tree)))


def _check(trees: Sequence[ast.AST], aliases: dict[str, str]) -> list[Finding]:
    found = {finding for tree in trees for node in ast.walk(tree) for finding in _check_node(node, aliases)}
    return sorted(found, key=lambda f: (f.line, f.kind, f.what))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    """Return the line that its code begins with: that of its first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (name in this source, dotted name that it stands for) of what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.asname, a.name) for a in node.names if a.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def _check_node(node: ast.AST, aliases: dict[str, str]) -> Iterator[Finding]:
    if isinstance(node, ast.Import):
        yield from (f for a in node.names for f in _find(node, a.name, _MODULES, by_prefix=True))
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from _find(node, node.module, _MODULES, by_prefix=True)
    elif isinstance(node, ast.Call):
        name = _dotted(node.func, aliases)
        yield from _find(node, name, _CALLS)
        yield from _find(node, name, _MODULES, by_prefix=True)
        yield from _find(node, name.rpartition(".")[2] if "." in name else "", _METHODS)
    elif isinstance(node, ast.Attribute):
        yield from _find(node, _dotted(node, aliases), _ATTRIBUTES)


def _find(node: ast.stmt | ast.expr, name: str, table: Table, *, by_prefix: bool = False) -> Iterator[Finding]:
    for kind, entries in table.items():
        if any(_matches(name, entry, by_prefix=by_prefix) for entry in entries):
            yield Finding(node.lineno, kind, name)


def _matches(name: str, entry: str, *, by_prefix: bool) -> bool:
    if by_prefix:
        return name == entry or name.startswith(f"{entry}.")
    return name == entry or ("." in entry and name.endswith(f".{entry}"))  # django.utils.timezone.now is timezone.now


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """Return `a.b.c` with the first part as it was imported; "" stands for what is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(aliases.get(node.id, node.id) if isinstance(node, ast.Name) else "")
    name = ".".join(reversed(parts))
    return name.removeprefix("datetime.") if name.startswith("datetime.datetime.") else name
