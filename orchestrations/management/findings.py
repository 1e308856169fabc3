"""What the system checks find when workers start: a line each, and only our own errors keep work from running.

Django's way, to refuse any command over any error, would let one app's mistake stop the work of all others.
"""

from __future__ import annotations

import logging

from django.core import checks

from orchestrations import telemetry

OURS = "orchestrations."


def report() -> list[str]:
    """Log every finding; return a line for each error of our own settings, over which workers must not start."""
    fatal = []
    for message in checks.run_checks():
        text = " ".join(f"{message.msg} {message.hint or ''}".split())
        is_ours = (message.id or "").startswith(OURS)
        if is_ours and message.is_serious():
            fatal.append(text)
            continue
        level = logging.ERROR if message.is_serious() else logging.WARNING
        telemetry.report(telemetry.CHECK_FAILED, level=level, id=message.id, text=text)
    return fatal
