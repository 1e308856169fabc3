"""Show one instance: its status, times, input, output, and what it waits for."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from orchestrations.client import queries
from orchestrations.conf import conf
from orchestrations.management import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("instance_id")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    found = queries.get_instance(options.hub or conf.HUB, options.instance_id)
    if options.as_json:
        output.print_json(options.out, asdict(found))
        return 0
    waits = "; ".join(f"{w.count} more" if w.kind == "more" else f"{w.kind} {w.name}".strip() for w in found.waiting)
    rows = [
        ("id", found.instance_id),
        ("name", found.name),
        ("status", found.status),
        ("blocked", f"{found.blocked.reason}: {found.blocked.message}" if found.blocked else None),
        ("reason", found.status_reason or None),
        ("created", found.created_at),
        ("updated", found.updated_at),
        ("completed", found.completed_at),
        ("waits for", waits or None),
        ("custom status", found.custom_status_json),
        ("input", found.input_json),
        ("output", found.output_json),
        ("failure", f"{found.failure.error_type}: {found.failure.message}" if found.failure else None),
    ]
    output.print_table(options.out, ("FIELD", "VALUE"), [row for row in rows if row[1] is not None])
    return 0
