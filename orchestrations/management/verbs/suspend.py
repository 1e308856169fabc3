"""Suspend an instance: what reaches it waits until it is resumed."""

from __future__ import annotations

import argparse

from orchestrations.management.verbs.control import add_control_arguments, operations, print_control


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_control_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    changed = operations(options).suspend(options.instance_id, options.reason)
    return print_control(options, "is being suspended", changed=changed)
