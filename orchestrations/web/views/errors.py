"""What a request gets that no view answered: 400, 403, 404, 500, and 503 while the database is away.

Django's own views for these ask for a CSRF token, and so read the body of the very request that could not be read.
"""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from orchestrations.control.actors import actor_from_user

RETRY_SECONDS = 5


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read; nothing more of it is read."""
    return HttpResponse(render_to_string("400.html"), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what is not permitted."""
    return HttpResponse(render_to_string("403.html"), status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that leads nowhere, with a way back or out."""
    said = str(exception.args[0]) if exception.args and isinstance(exception.args[0], str) else ""
    actor = actor_from_user(getattr(request, "user", None))
    return render(request, "404.html", {"said": said, "has_no_role": bool(actor and not actor.roles)}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error of ours, or 503 with Retry-After if it is one of the database's connection."""
    if not isinstance(sys.exception(), OperationalError | InterfaceError):
        return HttpResponse(render_to_string("500.html"), status=500)
    response = HttpResponse(render_to_string("503.html"), status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response
