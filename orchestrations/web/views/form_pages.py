"""A form shown again: in its place for htmx, else on a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from orchestrations.control.actors import Actor
from orchestrations.errors import DurableError, InstanceNotFoundError
from orchestrations.web import actions, responses
from orchestrations.web.page_data import PageData
from orchestrations.web.presenters.rows import instance_url

FOLDER = "orchestrations/instances"
NOT_SENT_AGAIN = frozenset({"csrfmiddlewaretoken", "anyway"})

# an error's code, or its first part → the fields beside which it is shown, if a form has one of them
FIELDS: Mapping[str, tuple[str, ...]] = {
    "payload": ("client_input", "event_data"),
    "json": ("client_input", "event_data"),
    "orchestrator": ("name",),
    "name": ("name", "event_name"),
    "event": ("event_name",),
    "instance-id": ("instance_id",),
    "approval.comment-required": ("comment",),
}


@dataclass(frozen=True, slots=True)
class FormPage:
    """A form of an instance's page: its template, and the DOM id that is replaced (a decision's has its own)."""

    template: str
    target: str

    def answer(self, request: HttpRequest, actor: Actor, hub: str, instance_id: str, form: forms.Form) -> HttpResponse:
        """Show the form again with its errors and what was typed."""
        return self.show(request, actor, hub, instance_id, form, 422)

    def show(
        self, request: HttpRequest, actor: Actor, hub: str, instance_id: str, form: forms.Form, status: int
    ) -> HttpResponse:
        """Show the form."""
        instance = PageData(hub).instance(instance_id)
        if instance is None:
            return responses.refused(request, InstanceNotFoundError(instance_id), ways_on(hub), actor, hub)
        view = actions.present(hub, instance, actor)
        decision = next((d for d in view.decisions if d.id == form.data.get("decision_id")), None)
        part = f"{FOLDER}/{self.template}"
        context = {"form": form, "view": view, "decision": decision, "instance_id": instance_id, "part": part}
        target = decision.dom if decision else self.target
        if status == 422 and target and responses.is_htmx(request):
            return responses.invalid(request, part, {**context, "hub": hub}, target)
        return responses.page(request, f"{FOLDER}/form.html", context, actor, hub, status)


def belongs_to_form(form: forms.Form, error: DurableError) -> bool:
    """Put what the person can mend beside its field."""
    names = FIELDS.get(error.code) or FIELDS.get(error.code.partition(".")[0], ())
    field = next((name for name in names if name in form.fields), None)
    if field is None:
        return False
    form.add_error(field, error.message)
    return True


def ways_on(hub: str, instance_id: str = "", request: HttpRequest | None = None) -> dict[str, Any]:
    """Return what a refusal needs to offer the way back, and the way on."""
    if not instance_id:
        return {"back_url": reverse("instance-list", args=[hub])}
    sent = [(k, v) for k, v in (request.POST.items() if request else ()) if k not in NOT_SENT_AGAIN]
    return {"back_url": instance_url(hub, instance_id), "again_url": request.path if request else "", "sent": sent}
