"""Resume a suspended instance: what has waited is applied."""

from __future__ import annotations

import argparse

from orchestrations.client.client import DurableClient
from orchestrations.management.verbs.control import add_control_arguments, print_control


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_control_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Do it."""
    client = DurableClient(options.hub)
    changed = client.resume(options.instance_id, options.reason)
    return print_control(options, "is being resumed", changed=changed)
