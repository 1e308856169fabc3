"""What the verbs that change something share: who acts; and an id, a reason and an answer."""

from __future__ import annotations

import argparse

from orchestrations.conf import conf
from orchestrations.control.actors import console
from orchestrations.control.operations import Operations
from orchestrations.management import output


def operations(options: argparse.Namespace) -> Operations:
    """Return what the system's user may do in the hub; the audit notes it under that name."""
    return Operations(console(), options.hub or conf.HUB)


def add_control_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the id and the reason."""
    parser.add_argument("instance_id")
    parser.add_argument("--reason", default="", help="kept in the history")


def print_control(options: argparse.Namespace, word: str, *, changed: bool) -> int:
    """Say what happened."""
    if options.as_json:
        output.print_json(options.out, {"instanceId": options.instance_id, "changed": changed})
    elif changed:
        options.out.write(f"'{options.instance_id}' {word}.")
    else:
        options.out.write(f"Nothing to do: '{options.instance_id}' is in that state already.")
    return 0
