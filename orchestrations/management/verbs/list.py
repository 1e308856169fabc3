"""List instances, newest first."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from orchestrations.client import queries
from orchestrations.client.queries import InstanceFilter
from orchestrations.client.status import InstanceSummary
from orchestrations.conf import conf
from orchestrations.engine.state import Status
from orchestrations.management import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--status", action="append", default=[], help="a status; may be repeated")
    parser.add_argument("--name", default="", help="how the orchestrator's name begins")
    parser.add_argument("--id", default="", dest="prefix", help="how the instance's id begins")
    parser.add_argument("--blocked", action="store_true", help="only those that are blocked")
    parser.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    parser.add_argument("--token", default="", help="continue after an earlier list")


def run(options: argparse.Namespace) -> int:
    """Print them, and how to go on."""
    if options.limit < 1:
        raise ValueError(f"--limit must be 1 or more, not {options.limit}.")
    where = InstanceFilter(
        statuses=frozenset(_status(text) for text in options.status),
        name_prefix=options.name,
        instance_id_prefix=options.prefix,
        blocked=True if options.blocked else None,
    )
    page = queries.list_instances(options.hub or conf.HUB, where, token=options.token, size=options.limit)
    if options.as_json:
        output.print_json(options.out, {"instances": [asdict(row) for row in page.rows], "token": page.token})
        return 0
    last = "STUCK BECAUSE" if options.blocked else "CUSTOM STATUS"
    output.print_table(
        options.out, ("STATUS", "NAME", "ID", "CREATED", "UPDATED", last), [_row(row) for row in page.rows]
    )
    if page.token:
        options.err.write(f"more: --token {page.token}")
    return 0


def _row(row: InstanceSummary) -> tuple[Any, ...]:
    status = f"{row.status} (stuck)" if row.blocked else row.status
    last = row.blocked.message if row.blocked else row.custom_status_json
    return status, row.name, row.instance_id, row.created_at, row.updated_at, last


def _status(text: str) -> Status:
    for status in Status:
        if status.lower() == text.lower():
            return status
    raise ValueError(f"'{text}' is no status. Choose from {', '.join(Status)}.")
