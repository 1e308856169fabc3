"""manage.py durable_worker: the worker supervisor, the only long-running process besides the web server."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from orchestrations import discovery
from orchestrations.conf import default_queue


class Command(BaseCommand):
    """Starts and watches worker processes for one queue, and sweeps, until SIGTERM."""

    help = "Start worker processes for a queue and keep them running."
    requires_system_checks: list[str] = []  # one app's mistake must not stop the work of all others; it is logged

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--workers", type=int, default=2, help="number of worker processes (2)")
        parser.add_argument("--queue", default=None, help="the one queue that they listen to (the hub's default)")
        parser.add_argument("--as-worker", default=None, help="for the supervisor's own use")
        parser.add_argument("--supervisor", default="", help="for the supervisor's own use")
        parser.add_argument("--watch", type=Path, default=None, help="for the supervisor's own use")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the supervisor, or one of its workers."""
        from orchestrations.runtime.supervisor import Supervisor
        from orchestrations.runtime.worker import run_worker

        queue = options["queue"] or default_queue()
        if options["as_worker"]:
            sys.exit(run_worker(options["as_worker"], options["supervisor"], queue, options["watch"]))
        if not 1 <= options["workers"] <= 256:
            self.stderr.write("error: --workers must be from 1 to 256.")
            sys.exit(2)
        discovery.log_problems()
        sys.exit(Supervisor(queue, options["workers"]).run())
