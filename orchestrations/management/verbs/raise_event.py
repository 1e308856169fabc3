"""Raise an external event for an instance, or for many.

With - for the instance's id it reads ids from standard input, a line each, and raises 1,000 events in a commit.
"""

from __future__ import annotations

import argparse

from orchestrations.client import queries
from orchestrations.client.requests import EventRequest
from orchestrations.conf import conf
from orchestrations.management import output
from orchestrations.management.verbs.control import operations
from orchestrations.management.verbs.start import BATCH, read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("instance_id", help="the id, or - for ids from standard input, a line each")
    parser.add_argument("event_name")
    parser.add_argument("--data", default=None, help="JSON, @FILE, or - for standard input")
    parser.add_argument("--event-id", default=None, help="sending the same id again does nothing")


def run(options: argparse.Namespace) -> int:
    """Raise it."""
    if options.instance_id == "-":
        return _raise_many(options)
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


def _raise_many(options: argparse.Namespace) -> int:
    if options.data == "-":
        raise ValueError("Standard input holds the ids: give --data as text or @FILE.")
    ids = [line for line in (read_json("-") or "").replace("\r\n", "\n").split("\n") if line.strip()]
    if not ids:
        raise ValueError("There is no id on standard input.")
    data, answers = read_json(options.data), list[bool]()
    try:
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            requests = [EventRequest(one, options.event_name, None, options.event_id, data) for one in part]
            answers += operations(options).raise_events(requests)
    finally:  # what is accepted is told, also where a later one is refused
        _print_sum(options, answers)
    output.warn_if_idle(options.err)
    return 0


def _print_sum(options: argparse.Namespace, answers: list[bool]) -> None:
    count, before = sum(answers), len(answers) - sum(answers)
    if options.as_json:
        output.print_json(options.out, {"accepted": count, "acceptedBefore": before})
    else:
        more = f", and by {before} before" if before else ""
        options.out.write(
            f"Event '{output.clean(options.event_name)}' accepted by {count} instance{'s' * (count != 1)}{more}."
        )


def _warn_if_unawaited(options: argparse.Namespace) -> None:
    """Say so if the instance waits for events of other names alone: this one may be mistyped."""
    found = queries.get_facts(options.hub or conf.HUB, options.instance_id)
    names = {wait.name for wait in found.waiting if wait.kind == "event"}
    if names and options.event_name.casefold() not in {name.casefold() for name in names}:
        wanted = ", ".join(f"'{name}'" for name in sorted(names))
        output.print_warning(
            options.err, f"'{options.instance_id}' waits for {wanted}; this event stays until it waits for it."
        )
