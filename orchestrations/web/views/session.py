"""Signing in with a password or a one-time link, signing out, and what a socket's script may ask about its session."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orchestrations.conf import conf
from orchestrations.control import sign_in
from orchestrations.control.actors import actor_from_user
from orchestrations.control.permissions import Permission, can
from orchestrations.web import responses

BACKEND = "django.contrib.auth.backends.ModelBackend"
BRAKED = "Too many wrong passwords. Wait 15 minutes, or use a sign-in link."


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def with_password(request: HttpRequest) -> HttpResponse:
    """Show the form, or take a name and a password; five wrong ones end the trying for a quarter of an hour."""
    if request.method != "POST":
        return _show(request, AuthenticationForm(request), 200)
    username, address = request.POST.get("username", ""), str(request.META.get("REMOTE_ADDR", ""))
    if sign_in.is_braked(conf.HUB, username, address):
        response = _show(request, AuthenticationForm(request), 429, BRAKED)
        response["Retry-After"] = "900"
        return response
    form = AuthenticationForm(request, data=request.POST)
    if not form.is_valid():
        sign_in.record_failure(conf.HUB, username, address)
        return _show(request, form, 422)
    login(request, form.get_user())
    sign_in.record_success(conf.HUB, form.get_user(), address)
    return HttpResponseRedirect(_safe_next(request))


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


def _show(request: HttpRequest, form: AuthenticationForm, status: int, problem: str = "") -> HttpResponse:
    context = {"form": form, "problem": problem, "next": _safe_next(request)}
    return responses.page(request, "sign_in/password.html", context, status=status)


def _safe_next(request: HttpRequest) -> str:
    """Return where to go afterwards: a path of ours, never somebody else's page."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    is_safe = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_safe else "/"
