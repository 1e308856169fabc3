"""Who may see a view: a signed-in actor who may read the hub. What one may not see does not exist."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from orchestrations.client import queries
from orchestrations.conf import conf
from orchestrations.control import audit, rate_limits
from orchestrations.control.actors import Actor, actor_from_user
from orchestrations.control.permissions import Permission, can
from orchestrations.web import responses

PATH_LIMIT = 512
REFUSALS = rate_limits.Rate(at_once=20, seconds=60)

View = Callable[..., HttpResponse]


def reads(permission: Permission = Permission.INSTANCES_READ) -> Callable[[View], View]:
    """Wrap a view `(request, actor, hub, …)`: sign in first; 404 for a hub that is not there or not his; else 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: HttpRequest, hub: str, *args: Any, **kwargs: Any) -> HttpResponse:
            actor = actor_from_user(request.user)
            if actor is None:
                return responses.sign_in_first(request)
            if not can(actor, Permission.INSTANCES_READ, hub) or not queries.has_hub(hub):
                record_refusal(request, actor, "hub")
                raise Http404("There is no such hub, or you have no role in it.")
            if not can(actor, permission, hub):
                record_refusal(request, actor, permission.value)
                context = {"permission": permission.value}
                return responses.page(request, "403.html", context, actor, hub, status=403)
            return view(request, actor, hub, *args, **kwargs)

        return wrapped

    return decorate


def record_refusal(request: HttpRequest, actor: Actor, why: str) -> None:
    """Record that somebody was refused before anything was tried; only so often, for browsers ask again."""
    if rate_limits.take(REFUSALS, "audit of refusals", str(actor.user_id)) == 0:
        detail = {"code": why, "method": request.method, "path": request.path[:PATH_LIMIT]}
        audit.record(conf.HUB, actor, "request", detail=detail, result=audit.DENIED)
