"""Raise an external event for an instance."""

from __future__ import annotations

import argparse

from orchestrations.client import queries
from orchestrations.conf import conf
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
    _warn_if_unawaited(options)
    if options.as_json:
        output.print_json(options.out, {"instanceId": options.instance_id, "accepted": is_new})
    else:
        text = "accepted" if is_new else "was accepted before"
        options.out.write(f"Event '{options.event_name}' for '{options.instance_id}' {text}.")
    return 0


def _warn_if_unawaited(options: argparse.Namespace) -> None:
    """Say so if the instance waits for events of other names alone: this one may be mistyped."""
    found = queries.get_facts(options.hub or conf.HUB, options.instance_id)
    names = {wait.name for wait in found.waiting if wait.kind == "event"}
    if names and options.event_name.casefold() not in {name.casefold() for name in names}:
        wanted = ", ".join(f"'{name}'" for name in sorted(names))
        output.print_warning(
            options.err, f"'{options.instance_id}' waits for {wanted}; this event stays until it waits for it."
        )
