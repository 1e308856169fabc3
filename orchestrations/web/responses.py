"""Answers: pages in their shell, and what htmx gets instead. Without JavaScript it is a page or a redirect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode

from orchestrations.conf import conf
from orchestrations.control.actors import Actor
from orchestrations.control.permissions import Permission, can
from orchestrations.errors import (
    AlreadyDecidedError,
    DurableError,
    InstanceExistsError,
    InstanceNotFoundError,
    LimitExceededError,
    NotRegisteredError,
    NotWaitingError,
    PayloadError,
    PermissionDenied,
    StaleRevisionError,
    WrongStatusError,
)

STATUSES: tuple[tuple[type[DurableError], int], ...] = (
    (PermissionDenied, 403),
    (InstanceNotFoundError, 404),
    (StaleRevisionError, 409),
    (AlreadyDecidedError, 409),
    (NotWaitingError, 409),
    (InstanceExistsError, 409),
    (WrongStatusError, 409),
    (LimitExceededError, 429),
    (NotRegisteredError, 422),
    (PayloadError, 422),
    (DurableError, 422),
)
ADDRESS_LIMIT = 4096
TITLES = {403: "Not permitted", 404: "No such instance", 409: "This has changed", 422: "Not accepted", 429: "Too much"}


def is_htmx(request: HttpRequest) -> bool:
    """Tell whether htmx asks, for a part of a page; a history restore wants the whole."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-History-Restore-Request") != "true"


def page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    actor: Actor | None = None,
    hub: str = "",
    status: int = 200,
) -> HttpResponse:
    """Return a page in its shell."""
    hub = hub or conf.HUB
    shell = {
        "actor": actor,
        "hub": hub,
        "live_url": f"/hubs/{hub}/live/",
        "may_start": can(actor, Permission.INSTANCES_START, hub),
    }
    return private(render(request, template, {**shell, **context}, status=status))


def private(response: HttpResponse) -> HttpResponse:
    """Keep pages with payloads, and parts of pages, out of every cache."""
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response


def fragment(html: str, status: int = 200) -> HttpResponse:
    """Return a part of a page."""
    return private(HttpResponse(html, status=status))


def unchanged() -> HttpResponse:
    """Say that the region is as the browser has it. Not 304: htmx would swap in its empty body."""
    return private(HttpResponse(status=204))


def done(request: HttpRequest, text: str, url: str) -> HttpResponse:
    """Say that an action is done: a note for htmx, whose page then refreshes its regions; else a redirect with it."""
    if not is_htmx(request):
        messages.success(request, text)
        return HttpResponseRedirect(url)
    response = render(request, "orchestrations/shared/_note.html", {"text": text}, status=202)
    response["HX-Trigger"] = json.dumps({"acted": {}})
    return private(response)


def moved(request: HttpRequest, text: str, url: str) -> HttpResponse:
    """Say that an action is done, and go to what it made."""
    messages.success(request, text)
    if not is_htmx(request):
        return HttpResponseRedirect(url)
    response = private(HttpResponse(status=201))
    response["HX-Redirect"] = url
    return response


def refused(
    request: HttpRequest, error: DurableError, context: Mapping[str, Any], actor: Actor, hub: str
) -> HttpResponse:
    """Say that nothing was done, and why: as a fragment for the note area, else as a page."""
    status = next(code for kind, code in STATUSES if isinstance(error, kind))
    can_go_on = isinstance(error, StaleRevisionError)
    facts = {**context, "error": error, "title": TITLES[status], "can_go_on": can_go_on, "status": status}
    if is_htmx(request):
        response = render(request, "orchestrations/shared/_refusal.html", facts, status=status)
        response["HX-Trigger"] = json.dumps({"refused": {}})
        return private(response)
    return page(request, "orchestrations/shared/refusal.html", facts, actor, hub, status)


def invalid(request: HttpRequest, template: str, context: Mapping[str, Any], target: str) -> HttpResponse:
    """Show a form again with its errors and what was typed, in its place."""
    response = render(request, template, dict(context), status=422)
    response["HX-Retarget"] = f"#{target}"
    response["HX-Reswap"] = "outerHTML"
    return private(response)


def sign_in_first(request: HttpRequest) -> HttpResponse:
    """Send to the sign-in page and back; htmx is told by 401, for it would swap the page in."""
    if is_htmx(request):
        return private(HttpResponse(status=401))
    here = request.get_full_path() if request.method == "GET" else "/"
    if len(here) > ADDRESS_LIMIT:
        here = "/"
    return HttpResponseRedirect(f"{reverse('sign-in')}?{urlencode({'next': here})}")
