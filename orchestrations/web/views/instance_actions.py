"""What people do to one instance: form → operation → answer. Each works from a plain form, too."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from orchestrations.control.actors import Actor
from orchestrations.control.decisions import Outcome
from orchestrations.control.operations import Operations
from orchestrations.errors import DurableError
from orchestrations.web import responses
from orchestrations.web.forms import DecisionForm, EventForm, ReasonForm, TerminationForm
from orchestrations.web.presenters.rows import instance_url
from orchestrations.web.views.access import reads
from orchestrations.web.views.form_pages import FormPage, belongs_to_form, ways_on

EVENT, SUSPENSION = FormPage("_event_form.html", "event-form"), FormPage("_suspend_form.html", "suspend-form")
TERMINATION, DECISION = FormPage("_terminate_form.html", "terminate-form"), FormPage("_decision_form.html", "")


@require_POST
@reads()
def raise_event(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Raise an event; by its id a double click is one event."""
    form = EventForm(request.POST)

    def act() -> str:
        values, name = form.cleaned_data, form.cleaned_data["event_name"]
        event_id, data = values["event_id"] or None, values["event_data"]
        Operations(actor, hub).raise_event(instance_id, name, data, event_id=event_id, expected=form.expected)
        return f"Event {name} is on its way."

    return _done(request, actor, hub, instance_id, form, act) or EVENT.answer(request, actor, hub, instance_id, form)


@require_http_methods(["POST", "DELETE"])
@reads()
def suspension(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """POST suspends; DELETE, or a form that says so, resumes."""
    form = ReasonForm(request.POST)
    operations, ends = Operations(actor, hub), request.method == "DELETE" or request.POST.get("_method") == "delete"

    def act() -> str:
        reason = form.cleaned_data["reason"]
        if ends:
            return "Resumed." if operations.resume(instance_id, reason, expected=form.expected) else "It was running."
        done = operations.suspend(instance_id, reason, expected=form.expected)
        return "Suspended." if done else "It was suspended already."

    done = _done(request, actor, hub, instance_id, form, act)
    return done or SUSPENSION.answer(request, actor, hub, instance_id, form)


@require_POST
@reads()
def terminate(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Terminate the instance and its children; a reason is required."""
    form = TerminationForm(request.POST)

    def act() -> str:
        Operations(actor, hub).terminate(instance_id, form.cleaned_data["reason"], expected=form.expected)
        return "Termination is on its way."

    done = _done(request, actor, hub, instance_id, form, act)
    return done or TERMINATION.answer(request, actor, hub, instance_id, form)


@require_safe
@reads()
def termination_form(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Ask for the reason on a page of its own, where there is no dialog."""
    return TERMINATION.show(request, actor, hub, instance_id, TerminationForm(), 200)


@require_POST
@reads()
def decide(request: HttpRequest, actor: Actor, hub: str, instance_id: str) -> HttpResponse:
    """Approve or reject, once; who comes second reads whose decision it was."""
    form = DecisionForm(request.POST)

    def act() -> str:
        values, outcome = form.cleaned_data, Outcome(form.cleaned_data["outcome"])
        Operations(actor, hub).decide(instance_id, values["decision_id"], outcome, values["comment"])
        return f"You have {outcome.value} it."

    return _done(request, actor, hub, instance_id, form, act) or DECISION.answer(request, actor, hub, instance_id, form)


def _done(
    request: HttpRequest, actor: Actor, hub: str, instance_id: str, form: forms.Form, act: Callable[[], str]
) -> HttpResponse | None:
    """Return what to answer when it was done or refused, or None where the form has to be mended."""
    if not form.is_valid():
        return None
    try:
        return responses.done(request, act(), instance_url(hub, instance_id))
    except DurableError as error:
        if belongs_to_form(form, error):
            return None
        return responses.refused(request, error, ways_on(hub, instance_id, request), actor, hub)
