"""manage.py durable VERB: start, look at and steer instances."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error

from orchestrations import discovery
from orchestrations.errors import DurableError
from orchestrations.management import output

VERBS = (
    *("start", "status", "list", "history", "raise-event", "terminate", "suspend", "resume"),
    *("functions", "sign-in-link"),
)


class Command(BaseCommand):
    """Dispatches to one module for each verb, in `management/verbs`."""

    help = "Start, look at and steer durable instances."
    requires_system_checks: list[str] = []  # a person asks one thing; what cannot be imported is said in one line each

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verbs and their options."""
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        for name in VERBS:
            module = importlib.import_module(f"orchestrations.management.verbs.{name.replace('-', '_')}")
            sub = verbs.add_parser(name, help=(module.__doc__ or "").partition("\n")[0], description=module.__doc__)
            module.add_arguments(sub)
            sub.add_argument("--hub", default=None, help="the task hub (the settings' own)")
            sub.add_argument("--json", action="store_true", dest="as_json", help="print JSON, for scripts")
            sub.set_defaults(run=module.run)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb and exit with its code."""
        for problem in discovery.list_problems():
            output.print_warning(self.stderr, f"{problem}.")
        try:
            code = options["run"](argparse.Namespace(**options, out=self.stdout, err=self.stderr))
        except DurableError as error:
            output.print_error(self.stderr, error.message)
            code = output.exit_code_of(error)
        except ValueError as error:
            output.print_error(self.stderr, str(error))
            code = output.USAGE
        except Error as error:
            hint = "Is the database reachable, and migrated? Try 'manage.py migrate'."
            output.print_error(self.stderr, f"The database does not answer: {error}", hint)
            code = output.UNAVAILABLE
        except KeyboardInterrupt:
            code = 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code)
