"""manage.py durable_worker: the worker supervisor, the only long-running process besides the web server."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

from orchestrations.conf import conf, default_queue, queue_name
from orchestrations.management import findings, output


class Command(BaseCommand):
    """Starts and watches worker processes for one queue, and sweeps, until SIGTERM."""

    help = "Start worker processes for a queue and keep them running."
    requires_system_checks: list[str] = []  # the supervisor looks at them: `findings`

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--workers", type=int, default=2, help="number of worker processes (2)")
        parser.add_argument("--queue", default=None, help="the one queue that they listen to (the hub's default)")
        parser.add_argument("--threads", type=int, default=None, help="threads of each for activities that wait (8)")
        parser.add_argument("--as-worker", default=None, help="for the supervisor's own use")
        parser.add_argument("--supervisor", default="", help="for the supervisor's own use")
        parser.add_argument("--parent", type=int, default=0, help="for the supervisor's own use")
        parser.add_argument("--watch", type=Path, default=None, help="for the supervisor's own use")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the supervisor, or one of its workers."""
        from orchestrations.conf import RANGES
        from orchestrations.runtime.supervisor import Supervisor
        from orchestrations.runtime.worker import Place, run_worker

        queue, threads = options["queue"] or default_queue(), options["threads"]
        if options["as_worker"]:
            place = Place(
                options["as_worker"], options["supervisor"], options["parent"], queue, options["watch"], threads
            )
            sys.exit(run_worker(place))
        low, high = (int(bound) for bound in RANGES["THREADS"])
        if not all(queue.partition(".")):
            self._refuse(
                f"--queue must be <hub>.<queue>, such as {queue_name(conf.HUB, queue.strip('.'))}, not {queue}."
            )
        self._check("--workers", options["workers"], 1, 256)
        self._check("--threads", low if threads is None else threads, low, high)
        self._check_all()
        sys.exit(Supervisor(queue, options["workers"], threads).run())

    def _check_all(self) -> None:
        fatal = findings.report()
        for text in fatal:
            output.print_error(self.stderr, text)
        if fatal:
            sys.exit(output.USAGE)

    def _check(self, option: str, value: int, low: int, high: int) -> None:
        if not low <= value <= high:
            self._refuse(f"{option} must be from {low} to {high}.")

    def _refuse(self, text: str) -> NoReturn:
        output.print_error(self.stderr, text)
        sys.exit(output.USAGE)
