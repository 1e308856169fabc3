#!/usr/bin/env python
"""Django's command line for this project; `manage.py durable --help` lists what steers orchestrations."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

from durableweb.startup import choose_settings

USAGE = 2


def main() -> int:
    """Run one management command with the settings of the home that is found; a wrong one costs one line."""
    from django.core.management import execute_from_command_line

    try:
        choose_settings()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except ModuleNotFoundError as error:
        name = os.environ.get("DJANGO_SETTINGS_MODULE", "")
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        print(f"error: DJANGO_SETTINGS_MODULE is '{name}', and there is no such module; unset it.", file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
