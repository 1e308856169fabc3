"""What people do to instances: form → operation → answer. Each works from a plain form, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orchestrations.control.actors import Actor
from orchestrations.control.decisions import Outcome
from orchestrations.control.operations import Operations
from orchestrations.errors import DurableError, InstanceExistsError
from orchestrations.web import actions, responses
from orchestrations.web.forms import DecisionForm, EventForm, ReasonForm, StartForm, TerminationForm
from orchestrations.web.page_data import PageData
from orchestrations.web.presenters.rows import instance_url
from orchestrations.web.views import instances
from orchestrations.web.views.access import reads

FOLDER = "orchestrations/instances"


@require_http_methods(["GET", "HEAD", "POST"])
@reads()
def list_or_start(request: HttpRequest, actor: Actor, hub: str) -> HttpResponse:
    """GET shows the list, POST starts an orchestration."""
    if request.method != "POST":
        return instances.show_list(request, actor, hub)
    form = StartForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        wanted = values["instance_id"] or values["token"]
        try:
            found = Operations(actor, hub).start(values["name"].strip(), wanted, values["client_input"])
        except InstanceExistsError as error:
            if wanted != values["token"]:
                form.add_error("instance_id", error.message)
            found = wanted  # else the second click on one form: it is started, show it
        except DurableError as error:
            if not _belongs_to_form(form, error):
                return responses.refused(request, error, _back(hub), actor, hub)
        if form.is_valid():
            return responses.moved(request, f"Started {values['name']}.", instance_url(hub, found))
    if responses.is_htmx(request):
        return responses.invalid(request, f"{FOLDER}/_start.html", {"start_form": form, "hub": hub}, "start-form")
    return instances.show_list(request, actor, hub, start_form=form)


@require_POST
@reads()
def raise_event(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Raise an event; by its id a double click is one event."""
    form = EventForm(request.POST)

    def act(operations: Operations, values: dict[str, Any]) -> str:
        name = values["event_name"]
        event_id = values["event_id"] or None
        operations.raise_event(instance_id, name, values["event_data"], event_id=event_id, expected=form.expected)
        return f"Event {name} is on its way."

    return _answer(request, actor, hub, instance_id, form, act, "_event_form.html")


@require_http_methods(["POST", "DELETE"])
@reads()
def suspension(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """POST suspends; DELETE, or a form that says so, resumes."""
    form = ReasonForm(request.POST)
    ends = request.method == "DELETE" or request.POST.get("_method") == "delete"

    def act(operations: Operations, values: dict[str, Any]) -> str:
        if ends:
            done = operations.resume(instance_id, values["reason"], expected=form.expected)
            return "Resumed." if done else "It was not suspended."
        done = operations.suspend(instance_id, values["reason"], expected=form.expected)
        return "Suspended." if done else "It was suspended already."

    return _answer(request, actor, hub, instance_id, form, act, "_suspend_form.html")


@require_POST
@reads()
def terminate(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Terminate the instance and its children; a reason is required."""
    form = TerminationForm(request.POST)

    def act(operations: Operations, values: dict[str, Any]) -> str:
        operations.terminate(instance_id, values["reason"], expected=form.expected)
        return "Termination is on its way."

    return _answer(request, actor, hub, instance_id, form, act, "_terminate_form.html")


@require_safe
@reads()
def termination_form(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Ask for the reason on a page of its own, where there is no dialog."""
    return _form_page(request, actor, hub, instance_id, TerminationForm(), "_terminate_form.html", 200)


@require_POST
@reads()
def decide(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Approve or reject, once; who comes second reads whose decision it was."""
    form = DecisionForm(request.POST)

    def act(operations: Operations, values: dict[str, Any]) -> str:
        outcome = Outcome(values["outcome"])
        operations.decide(instance_id, values["decision_id"], outcome, values["comment"])
        return f"You have {outcome.value} it."

    return _answer(request, actor, hub, instance_id, form, act, "_decision_form.html")


def _answer(
    request: HttpRequest,
    actor: Actor,
    hub: str,
    instance_id: str,
    form: forms.Form,
    act: Callable[[Operations, dict[str, Any]], str],
    template: str,
) -> HttpResponse:
    if form.is_valid():
        try:
            text = act(Operations(actor, hub), form.cleaned_data)
        except DurableError as error:
            if not _belongs_to_form(form, error):
                return responses.refused(request, error, _back(hub, instance_id, request), actor, hub)
        else:
            return responses.done(request, text, instance_url(hub, instance_id))
    return _form_page(request, actor, hub, instance_id, form, template, 422)


def _form_page(
    request: HttpRequest, actor: Actor, hub: str, instance_id: str, form: forms.Form, template: str, status: int
) -> HttpResponse:
    instance = PageData(hub).instance(instance_id)
    if instance is None:
        return responses.refused(request, actions.gone(instance_id), _back(hub), actor, hub)
    view = actions.present(hub, instance, actor)
    decision = next((d for d in view.decisions if d.id == form.data.get("decision_id")), None)
    context = {
        "form": form,
        "view": view,
        "decision": decision,
        "instance_id": instance_id,
        "part": f"{FOLDER}/{template}",
    }
    if status == 422 and responses.is_htmx(request):
        target = decision.dom if decision else template.strip("_").removesuffix(".html").replace("_", "-")
        return responses.invalid(request, f"{FOLDER}/{template}", {**context, "hub": hub}, target)
    return responses.page(request, f"{FOLDER}/form.html", context, actor, hub, status)


def _belongs_to_form(form: forms.Form, error: DurableError) -> bool:
    """Put what the person can mend beside its field."""
    names = actions.FIELDS.get(error.code) or actions.FIELDS.get(error.code.partition(".")[0], ())
    field = next((name for name in names if name in form.fields), None)
    if field is None:
        return False
    form.add_error(field, error.message)
    return True


def _back(hub: str, instance_id: str = "", request: HttpRequest | None = None) -> dict[str, Any]:
    """What a refusal needs to offer the way back, and the way on."""
    if not instance_id:
        return {"back_url": reverse("instance-list", args=[hub])}
    left_out = {"csrfmiddlewaretoken", "anyway"}
    sent = [(k, v) for k, v in (request.POST.items() if request else ()) if k not in left_out]
    return {"back_url": instance_url(hub, instance_id), "again_url": request.path if request else "", "sent": sent}
