"""The list of instances, one instance, and the parts of their pages."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe

from orchestrations.authoring.registry import ORCHESTRATOR, registry
from orchestrations.client import queries
from orchestrations.conf import conf
from orchestrations.control.actors import Actor, actor_from_user
from orchestrations.control.permissions import Permission, can
from orchestrations.errors import InvalidError
from orchestrations.web import fragments, histories, responses
from orchestrations.web.filters import ListFilter, link
from orchestrations.web.forms import StartForm
from orchestrations.web.page_data import PageData
from orchestrations.web.presenters import contents
from orchestrations.web.regions import Region, read_key
from orchestrations.web.views.access import reads

PARTS = ("summary", "actions", "data", "history", "children", "audit")


@require_safe
def home(request: HttpRequest, hub: str = "") -> HttpResponse:
    """Go to the list of the hub, by default the one that the settings name."""
    return HttpResponseRedirect(reverse("instance-list", args=[hub or conf.HUB]))


def show_list(request: HttpRequest, actor: Actor, hub: str, start_form: StartForm | None = None) -> HttpResponse:
    """Show a page of the list; htmx gets the part that depends on the filter."""
    where = ListFilter.read(request.META.get("QUERY_STRING", ""))
    context = _listing(PageData(hub), actor, where, request.GET.get("after", ""))
    if responses.is_htmx(request) and request.headers.get("HX-Target") == "listing":
        response = responses.fragment(render_to_string("orchestrations/instances/_listing.html", context, request))
        response["HX-Replace-Url"] = link(context["list_url"], where)  # typing is no step to go back to
        return response
    context["section"] = _section(where)
    context["start_form"] = start_form or StartForm(initial={"token": uuid.uuid4().hex})
    context["start_open"] = start_form is not None
    context["orchestrators"] = registry.names(ORCHESTRATOR) if can(actor, Permission.INSTANCES_START, hub) else []
    status = 422 if start_form is not None else 200
    return responses.page(request, "orchestrations/instances/list.html", context, actor, hub, status)


def _listing(data: PageData, actor: Actor, where: ListFilter, after: str) -> dict[str, Any]:
    hub, is_damaged = data.hub, False
    try:
        page = data.page(where, after)
    except InvalidError:
        page, after, is_damaged = data.page(where, ""), "", True
    newest = page.rows[0].created_at.isoformat() if page.rows and not after else ""
    regions = {
        "counts": Region("counts", hub, query=where.query),
        "rows": Region("rows", hub, query=where.query, snapshot=data.snapshot(page)),
    }
    if not after:
        regions["newer"] = Region("newer", hub, query=where.query, since=newest)
    path = reverse("instance-list", args=[hub])
    return {
        "parts": {name: fragments.render(region, actor, data) for name, region in regions.items()},
        "where": where,
        "may_start": can(actor, Permission.INSTANCES_START, hub),
        "is_damaged": is_damaged,
        "is_empty": not page.rows,
        "list_url": path,
        "newest_url": link(path, where) if after else "",
        "older_url": link(path, where, page.token) if page.token else "",
        "hub": hub,
    }


def _section(where: ListFilter) -> str:
    """Return which entry of the side bar is this filter, whatever name and id it asks for."""
    if where.blocked:
        return "" if where.statuses else "Stuck"
    return "instances" if not where.statuses else where.statuses[0].value if len(where.statuses) == 1 else ""


@require_safe
@reads()
def show(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Show an instance."""
    data = PageData(hub)
    instance = data.instance(instance_id)
    if instance is None:
        raise Http404(f"No instance with ID '{instance_id}' found.")
    loaded = request.GET.get("from", "")
    parts = {
        name: Region(name, hub, instance_id, since=_chunk_start(loaded) if name == "history" else "") for name in PARTS
    }
    context = {
        "section": "instances",
        "instance_id": instance_id,
        "name": instance.name,
        "parts": {name: fragments.render(region, actor, data, request) for name, region in parts.items()},
    }
    return responses.page(request, "orchestrations/instances/detail.html", context, actor, hub)


@require_safe
@reads(Permission.PAYLOADS_READ)
def show_history(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Show a chunk of the history: for htmx the chunk alone, else the instance's page with it."""
    start = _chunk_start(request.GET.get("from", "0")) or "0"
    if not responses.is_htmx(request):
        return HttpResponseRedirect(f"{reverse('instance-detail', args=[hub, instance_id])}?from={start}#event-{start}")
    data = PageData(hub)
    version = data.version(instance_id)
    if version is None:
        raise Http404(f"No instance with ID '{instance_id}' found.")
    chunk = fragments.chunk(data, instance_id, int(start), version, load=True)
    context = {"chunk": chunk, "hub": hub, "instance_id": instance_id}
    return responses.fragment(render_to_string("orchestrations/instances/_chunk.html", context))


@require_safe
@reads(Permission.PAYLOADS_READ)
def show_event(request: HttpRequest, actor: Actor, hub: str, instance_id: str, sequence: int) -> HttpResponse:
    """Show one event with all its members; htmx gets them alone."""
    data = PageData(hub)
    if data.version(instance_id) is None or sequence > 2**31 - 1:
        raise Http404(f"No instance with ID '{instance_id}' found.")
    page = data.event(instance_id, sequence)
    if not page.rows:
        raise Http404(f"The history of '{instance_id}' has no event {sequence}.")
    names = data.names(instance_id, histories.unnamed(page.rows), sequence)
    event = histories.present(page.rows, names)[0]
    members = contents.members(page.rows[0].members)
    context = {"event": event, "members": members, "instance_id": instance_id, "section": "instances"}
    if responses.is_htmx(request):
        return responses.fragment(render_to_string("orchestrations/instances/_members.html", context))
    return responses.page(request, "orchestrations/instances/event.html", context, actor, hub)


@require_safe
@reads(Permission.PAYLOADS_READ)
def show_payload(request: HttpRequest, actor: Actor, hub: str, instance_id: str, name: str) -> HttpResponse:
    """Show a payload as far as a page can hold it, or hand the whole out as a file."""
    text = queries.find_payload(hub, instance_id, name)
    if text is None:
        raise Http404(f"'{instance_id}' has no {name}.")
    if "download" in request.GET:
        response = HttpResponse(text, content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{name}.json"'
        return responses.private(response)
    view = contents.payload(hub, instance_id, name, text, whole=True)
    context = {"payload": view, "instance_id": instance_id, "section": "instances", "is_more": True}
    if responses.is_htmx(request):
        return responses.fragment(render_to_string("orchestrations/instances/_payload.html", context))
    return responses.page(request, "orchestrations/instances/payload.html", {**context, "is_page": True}, actor, hub)


@require_safe
def show_region(request: HttpRequest, key: str) -> HttpResponse:
    """Answer a live region: 204 if its tag is the browser's, else its fragment."""
    actor = actor_from_user(request.user)
    if actor is None:
        return responses.sign_in_first(request)
    region = read_key(key)
    if region is None:
        raise Http404("There is no such region.")
    data = PageData(region.hub)
    tag = fragments.tag(region, actor, data)
    if tag is not None and tag == request.headers.get("X-Region-Tag"):
        return responses.unchanged()
    html = fragments.render(region, actor, data, request)
    if html is None:
        raise Http404("There is no such region any more.")
    return responses.fragment(html)


def _chunk_start(text: str) -> str:
    """Return where the chunk with this event begins, or nothing for what is no number."""
    if not text.isdecimal() or len(text) > 9:
        return ""
    return str(int(text) // histories.CHUNK * histories.CHUNK)
