"""Logging of every process: one line an event, to standard error, without secrets.

Access logs are where keys leak: a `code` in a query string, a token in a sign-in link. They are removed here, for
Django's own loggers and the ASGI server's alike, whatever wrote the line.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from durableweb.environment import refuse

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SECRET_PARAMETERS = re.compile(r"(?i)([?&;](?:code|key|token|password|secret|sig|signature)=)[^&\s\"']*")
SECRET_PATHS = re.compile(r"(/(?:sign-in|a)/)[A-Za-z0-9_.:-]{16,}")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def redact(text: str) -> str:
    """Return `text` without secret parameter values, sign-in tokens and control characters."""
    text = SECRET_PARAMETERS.sub(r"\1***", text)
    text = SECRET_PATHS.sub(r"\1***", text)
    return CONTROL.sub("?", text)


class RedactingFilter(logging.Filter):
    """Redacts a record's message once it is put together; tracebacks stay as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        return True


class HealthFilter(logging.Filter):
    """Drops what is said of health requests: they come every second, and red is an answer, not an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "/healthz/" not in record.getMessage()


def configuration(level: str) -> dict[str, Any]:
    """Return a `dictConfig` for Django, the engine and the ASGI server."""
    if level not in LEVELS:
        refuse("LOG_LEVEL", level, f"must be one of {', '.join(LEVELS)}")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "redact": {"()": "durableweb.logs.RedactingFilter"},
            "health": {"()": "durableweb.logs.HealthFilter"},
        },
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            "django": {"handlers": [], "level": "WARNING", "propagate": True},
            "django.request": {"filters": ["health"]},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            "orchestrations": {"level": level},
            "durableweb": {"level": level},
            "uvicorn.access": {"handlers": [], "filters": ["health"], "level": level, "propagate": True},
            "uvicorn.error": {"level": "WARNING"},
            "rq": {"level": "WARNING"},
            "rq.worker": {"level": "WARNING"},
        },
    }
