"""The web server: `python -m durableweb.server`. Uvicorn with its flags fixed, since its defaults wait for ever.

On SIGTERM readiness goes red first, so that a load balancer looks elsewhere; after the drain connections are closed,
and ten seconds later whatever is left is cancelled. It then exits with 0.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

import django
import uvicorn
from django.core.exceptions import ImproperlyConfigured

from durableweb.startup import choose_settings, refuse_start

GRACE_SECONDS = 10
FRAME_BYTES = 16 * 1024
PING_SECONDS = 20
ACCESS_LOG_BYTES = 10 * 1024 * 1024


class Server(uvicorn.Server):
    """Drains before it stops; a second SIGINT cuts everything short."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        self.drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. The signal is not raised again afterwards, so a stop that was asked for exits with 0."""
        from durableweb.health import Stopping

        if Stopping.begun and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        elif not Stopping.begun:
            Stopping.begun = True
            threading.Timer(self.drain_seconds, self._stop).start()

    def _stop(self) -> None:
        self.should_exit = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    options = _parse(arguments)
    choose_settings()
    from django.conf import settings

    # here, not in uvicorn's own option: loading the application sets up logging by this setting
    settings.LOGGING = _log_configuration(settings.LOGGING, options.access_log)
    django.setup()
    config = uvicorn.Config(
        "durableweb.asgi:application",
        host=settings.BIND,
        port=settings.PORT,
        lifespan="off",
        log_config=None,
        proxy_headers=bool(settings.PUBLIC_ORIGINS),
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
    )
    Server(config, options.drain).run()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m durableweb.server", description=__doc__)
    parser.add_argument("--drain", type=float, default=2.0, help="seconds between red readiness and the stop")
    parser.add_argument("--access-log", default="", help="file for the access log; standard error if absent")
    return parser.parse_args(arguments)


def _log_configuration(base: dict[str, Any], access_log: str) -> dict[str, Any]:
    """Return the logging of all processes, the access log apart in a file that does not grow without end."""
    configuration = copy.deepcopy(base)
    if access_log:
        os.close(os.open(access_log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        configuration["handlers"]["access"] = {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": access_log,
            "maxBytes": ACCESS_LOG_BYTES,
            "backupCount": 2,
            "formatter": "line",
            "filters": ["redact"],
        }
        configuration["loggers"]["uvicorn.access"] |= {"handlers": ["access"], "level": "INFO", "propagate": False}
    return configuration


if __name__ == "__main__":
    try:
        main()
    except ImproperlyConfigured as error:
        sys.exit(refuse_start(error))
    logging.shutdown()
