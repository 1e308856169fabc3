"""List the functions that this installation knows: orchestrators and activities, and where each is defined."""

from __future__ import annotations

import argparse
import inspect

from orchestrations import discovery
from orchestrations.authoring.registry import Function, registry
from orchestrations.management import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(options: argparse.Namespace) -> int:
    """Print them; exit with 1 if a module could not be imported."""
    found = sorted(registry.functions(), key=lambda function: (function.kind, function.name, function.version or ""))
    code = output.OTHER if discovery.list_problems() else 0
    if options.as_json:
        members = [
            {"kind": f.kind, "name": f.name, "version": f.version, "queue": f.queue, "place": _place(f)} for f in found
        ]
        problems = [{"name": problem.name, "reason": problem.reason} for problem in discovery.list_problems()]
        output.print_json(options.out, {"functions": members, "problems": problems})
        return code
    rows = [(function.kind, function.name, function.version, function.queue, _place(function)) for function in found]
    output.print_table(options.out, ("KIND", "NAME", "VERSION", "QUEUE", "DEFINED IN"), rows)
    return code


def _place(function: Function) -> str:
    code = getattr(inspect.unwrap(function.call), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else function.call.__module__
