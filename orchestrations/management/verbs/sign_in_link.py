"""Make a link that signs somebody in, once and soon.

Whoever can read the home may. Earlier links of the account end.
"""

from __future__ import annotations

import argparse

from django.urls import reverse

from orchestrations.conf import conf
from orchestrations.control import sign_in
from orchestrations.management import output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--user", default="admin", help="whom it signs in (admin)")


def run(options: argparse.Namespace) -> int:
    """Print it; how long it is good goes to standard error, so that a script gets the link alone."""
    token = sign_in.make_only_link(options.user)
    link = conf.ADDRESS + reverse("sign-in-link", args=[token])
    if options.as_json:
        output.print_json(options.out, {"link": link, "user": options.user, "seconds": sign_in.LINK_SECONDS})
        return 0
    options.out.write(f"{link}\n")
    options.err.write(f"It signs '{options.user}' in, once, within {sign_in.LINK_SECONDS // 60} minutes.")
    return 0
