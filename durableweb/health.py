"""Is this process alive; can this copy of the product do its work.

*Live* asks nothing of anybody: an orchestra of restarts must not follow from a database that is down for a minute.
*Ready* is red while accepted work could not be carried out here. Anyone may ask, so it answers booleans; numbers are
for people who have signed in.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import RedisError

from orchestrations import discovery
from orchestrations.client import queries
from orchestrations.client.status import Health
from orchestrations.conf import default_queue
from orchestrations.runtime import hints

logger = logging.getLogger("durableweb.health")

SWEEP_LIMIT_SECONDS = 5.0
FREE_BYTES = 200 * 1024 * 1024


class Stopping:
    """Whether this process has begun to stop; a load balancer then sees red before connections are closed."""

    begun = False


class Migrations:
    """Whether this process has seen the present schema in the database: asking costs a look at every migration."""

    seen = False


@require_safe
@never_cache
@login_not_required
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process answers."""
    return JsonResponse({"live": True})


@require_safe
@never_cache
@login_not_required
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if every part works, else 503; the body says which does not."""
    parts, found = examine()
    body: dict[str, Any] = {"ready": all(parts.values()), **parts}
    if found and request.user.is_authenticated:
        body |= {"worker_count": found.workers, "sweep_age_seconds": found.sweep_age_seconds}
        body |= {"problems": [str(problem) for problem in discovery.list_problems()]}
    return JsonResponse(body, status=200 if body["ready"] else 503)


def examine() -> tuple[dict[str, bool], Health | None]:
    """Return part → works, and what the database knows of workers, or None where it cannot be asked."""
    found = _health() if _works("database", _is_migrated) else None
    parts = {
        "database": found is not None,
        "disk": _works("disk", _has_space),
        "queue": _works("queue", _can_hint),
        "workers": found is not None and found.workers > 0,
        "sweep": found is not None and found.sweep_age_seconds is not None and _is_recent(found.sweep_age_seconds),
        "serving": not Stopping.begun,
    }
    return parts, found


def _works(part: str, ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except (DatabaseError, OSError, RedisError) as error:
        logger.warning("%s is not ready: %s", part, error)
        return False


def _is_migrated() -> bool:
    if not Migrations.seen:
        executor = MigrationExecutor(connection)
        Migrations.seen = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Migrations.seen


def _can_hint() -> bool:
    return hints.can_carry(default_queue())


def _health() -> Health | None:
    try:
        return queries.read_health()
    except DatabaseError as error:
        logger.warning("workers cannot be counted: %s", error)
        return None


def _has_space() -> bool:
    path = settings.HOME.path
    return not path.exists() or shutil.disk_usage(path).free >= FREE_BYTES


def _is_recent(age_seconds: float) -> bool:
    return age_seconds <= SWEEP_LIMIT_SECONDS
