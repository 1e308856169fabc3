"""Show the history of an instance: its present execution's events, in order."""

from __future__ import annotations

import argparse

from orchestrations.client import queries
from orchestrations.conf import conf
from orchestrations.management import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("instance_id")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    page = queries.list_history(options.hub or conf.HUB, options.instance_id)
    if options.as_json:
        output.print_json(options.out, [row.members for row in page.rows])
        return 0
    rows = []
    for row in page.rows:
        m = row.members
        number = m.get("TaskScheduledId", m.get("TimerId", m["EventId"]))
        detail = m.get("Result", m.get("Input", m.get("Reason", m.get("FireAt"))))
        rows.append((row.sequence, m["Timestamp"], row.kind, "" if number == -1 else number, m.get("Name"), detail))
    output.print_table(options.out, ("#", "TIME", "EVENT", "TASK", "NAME", "DETAIL"), rows)
    return 0
