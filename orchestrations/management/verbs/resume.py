"""Resume a suspended instance: what has waited is applied."""

from __future__ import annotations

import argparse

from orchestrations.management.verbs.control import add_control_arguments, operations, print_control


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_control_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    changed = operations(options).resume(options.instance_id, options.reason)
    return print_control(options, "is being resumed", changed=changed)
