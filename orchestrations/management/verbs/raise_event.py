"""Raise an external event for an instance."""

from __future__ import annotations

import argparse

from orchestrations.management import output
from orchestrations.management.verbs.control import operations
from orchestrations.management.verbs.start import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("instance_id")
    parser.add_argument("event_name")
    parser.add_argument("--data", default=None, help="JSON, @FILE, or - for standard input")
    parser.add_argument("--event-id", default=None, help="sending the same id again does nothing")


def run(options: argparse.Namespace) -> int:
    """Raise it."""
    is_new = operations(options).raise_event(
        options.instance_id, options.event_name, read_json(options.data), event_id=options.event_id
    )
    output.warn_if_idle(options.err)
    if options.as_json:
        output.print_json(options.out, {"instanceId": options.instance_id, "accepted": is_new})
    else:
        text = "accepted" if is_new else "was accepted before"
        options.out.write(f"Event '{options.event_name}' for '{options.instance_id}' {text}.")
    return 0
