"""Terminate an instance, and its live descendants, without running their code."""

from __future__ import annotations

import argparse

from orchestrations.management.verbs.control import add_control_arguments, operations, print_control


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_control_arguments(parser)
    parser.add_argument("--alone", action="store_true", help="leave its sub-orchestrations running")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    operations(options).terminate(options.instance_id, options.reason, recursive=not options.alone)
    return print_control(options, "is being terminated", changed=True)
