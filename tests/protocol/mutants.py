"""Planted bugs: patches of the real code, and how soon the simulation must find each of them (TST-3).

A patch replaces a text within one function, whose code object is exchanged: whoever has imported the function gets the
bug too. A text that is no longer there exactly once is an error: the code has moved on, and so must the bug.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType


@dataclass(frozen=True)
class Patch:
    """In the function `target` (`package.module:qualified.name`) `old` becomes `new`."""

    target: str
    old: str
    new: str

    def function(self) -> FunctionType:
        """Return the function."""
        module, _, path = self.target.partition(":")
        found = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        assert isinstance(found, FunctionType), f"{self.target} is no plain function"
        return found

    def code(self) -> CodeType:
        """Return the function's code with the bug."""
        function = self.function()
        source = textwrap.dedent(inspect.getsource(function))
        count = source.count(self.old)
        assert count == 1, f"{self.target} holds {count} times what is to be replaced: {self.old!r}"
        flags = annotations.compiler_flag
        text = source.replace(self.old, self.new)
        scope = dict(function.__globals__)
        exec(compile(text, f"<{self.target} with a planted bug>", "exec", flags=flags), scope)
        planted: FunctionType = scope[function.__name__]
        return planted.__code__


@dataclass(frozen=True)
class Mutant:
    """A bug, in words and as patches. It must be found within `budget` seeds, run with these `kinds` of blocks only."""

    what: str
    budget: int
    patches: tuple[Patch, ...]
    kinds: tuple[str, ...] = ()


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Plant the bug until the block ends."""
    sound = [(patch.function(), patch.function().__code__, patch.code()) for patch in mutant.patches]
    for function, _, code in sound:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code, _ in sound:
            function.__code__ = code


RUNTIME, STORE, ENGINE = "orchestrations.runtime", "orchestrations.store", "orchestrations.engine"

MUTANTS = {
    "no-sweeper": Mutant(
        "nobody looks for work that is due and nobody's",
        40,
        (Patch(f"{RUNTIME}.sweeper:Sweeper.sweep", "found.items()", "()"),),
    ),
    "stale-body": Mutant(
        "a live body is used although somebody else has turned the instance",
        300,
        (Patch(f"{RUNTIME}.live_bodies:LiveBodies.take", "if key == (", "if turn or key == ("),),
    ),
}
