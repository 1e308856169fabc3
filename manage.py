#!/usr/bin/env python
"""Django's command line for this project; `manage.py durable --help` lists what steers orchestrations."""

import sys

from django.core.exceptions import ImproperlyConfigured

from durableweb.startup import choose_settings, refuse_start


def main() -> int:
    """Run one management command with the settings of the home that is found; a wrong one costs one line."""
    from django.core.management import execute_from_command_line

    try:
        choose_settings()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        return refuse_start(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
