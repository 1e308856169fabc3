"""Signing in with a password or a one-time link, signing out, and what a socket's script may ask about its session."""

from __future__ import annotations

import math
from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orchestrations.conf import conf
from orchestrations.control import sign_in
from orchestrations.control.actors import actor_from_user
from orchestrations.control.permissions import Permission, can
from orchestrations.web import responses
from orchestrations.web.forms import PasswordForm
from orchestrations.web.views import access

BACKEND = "django.contrib.auth.backends.ModelBackend"
BROWSER_COOKIE = "durable_browser"


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def with_password(request: HttpRequest) -> HttpResponse:
    """Show the form, or take a name and a password; whoever tries too often is told when to go on."""
    if request.method != "POST":
        return _show(request, AuthenticationForm(request), 200)
    address, browser = str(request.META.get("REMOTE_ADDR", "")), request.COOKIES.get(BROWSER_COOKIE, "")
    form = PasswordForm(request, data=request.POST)
    form.admit = lambda name: sign_in.admit(name, address, browser)
    if form.is_valid():
        return _signed_in(request, form.get_user(), address)
    if form.wait_seconds:
        response = _show(request, form, 429)
        response["Retry-After"] = str(math.ceil(form.wait_seconds))
        return response
    if form.tried:
        sign_in.record_failure(conf.HUB, form.tried, address)
    return _show(request, form, 422)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def with_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows whom the link signs in and changes nothing, since mail scanners open links; POST signs in, once."""
    user = sign_in.use_link(token, conf.HUB) if request.method == "POST" else sign_in.find_link_user(token)
    if user is None:
        return responses.page(request, "sign_in/link_gone.html", {}, status=410)
    if request.method != "POST":
        response = responses.page(request, "sign_in/link.html", {"username": user.get_username()})
        response["Referrer-Policy"] = "same-origin"
        response["X-Robots-Tag"] = "noindex"
        return response
    login(request, user, backend=BACKEND)
    return HttpResponseRedirect(_safe_next(request))


@require_POST
def end(request: HttpRequest) -> HttpResponse:
    """Sign out. (A receiver of Django's signal ends the user's sockets.)"""
    actor = actor_from_user(request.user)
    if actor is not None:
        sign_in.record_end(conf.HUB, actor)
    logout(request)
    return HttpResponseRedirect("/sign-in/")


@never_cache
@require_safe
def live_status(request: HttpRequest) -> HttpResponse:
    """Tell a script whose socket was refused why: 401 nobody is signed in, 403 no access, 204 neither."""
    actor = actor_from_user(request.user)
    if actor is None:
        return HttpResponse(status=401)
    return HttpResponse(status=204 if can(actor, Permission.INSTANCES_READ, conf.HUB) else 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form that is not of this session; who sent it, if somebody has signed in, is in the audit."""
    actor = actor_from_user(request.user)
    if actor is not None:
        access.record_refusal(request, actor, "csrf")
    return render(request, "403_csrf.html", status=403)


def _signed_in(request: HttpRequest, user: Any, address: str) -> HttpResponse:
    login(request, user)
    sign_in.record_success(conf.HUB, user, address)
    response = HttpResponseRedirect(_safe_next(request))
    token, age = sign_in.remember_browser(user.get_username()), int(sign_in.BROWSER_AGE.total_seconds())
    path, is_secure = reverse("sign-in"), request.is_secure()
    response.set_cookie(BROWSER_COOKIE, token, age, path=path, secure=is_secure, httponly=True, samesite="Lax")
    return response


def _show(request: HttpRequest, form: AuthenticationForm, status: int) -> HttpResponse:
    context = {"form": form, "next": _safe_next(request)}
    return responses.page(request, "sign_in/password.html", context, status=status)


def _safe_next(request: HttpRequest) -> str:
    """Return where to go afterwards: a path of ours, never somebody else's page."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    is_safe = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_safe else "/"
