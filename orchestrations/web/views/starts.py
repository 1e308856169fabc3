"""The list's address: GET shows the list, POST starts an orchestration."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from orchestrations.control.actors import Actor
from orchestrations.control.operations import Operations
from orchestrations.errors import DurableError, InstanceExistsError
from orchestrations.web import responses
from orchestrations.web.forms import StartForm
from orchestrations.web.presenters.rows import instance_url
from orchestrations.web.views import instances
from orchestrations.web.views.access import reads
from orchestrations.web.views.form_pages import FOLDER, belongs_to_form, ways_on


@require_http_methods(["GET", "HEAD", "POST"])
@reads()
def list_or_start(request: HttpRequest, actor: Actor, hub: str) -> HttpResponse:
    """Show the list, or start an orchestration: under the id given, else under the form's token, once."""
    if request.method != "POST":
        return instances.show_list(request, actor, hub)
    form = StartForm(request.POST)
    answer = _start(request, actor, hub, form) if form.is_valid() else None
    if answer is not None:
        return answer
    if responses.is_htmx(request):
        return responses.invalid(request, f"{FOLDER}/_start.html", {"start_form": form, "hub": hub}, "start-form")
    return instances.show_list(request, actor, hub, start_form=form)


def _start(request: HttpRequest, actor: Actor, hub: str, form: StartForm) -> HttpResponse | None:
    """Return what to answer when it was started or refused, or None where the form has to be mended."""
    values = form.cleaned_data
    instance_id = values["instance_id"] or values["token"]
    try:
        Operations(actor, hub).start(values["name"].strip(), instance_id, values["client_input"])
    except InstanceExistsError as error:
        if instance_id != values["token"]:  # else the second click on one form: it is started, show it
            form.add_error("instance_id", error.message)
            return None
    except DurableError as error:
        return None if belongs_to_form(form, error) else responses.refused(request, error, ways_on(hub), actor, hub)
    return responses.moved(request, f"Started {values['name']}.", instance_url(hub, instance_id))
