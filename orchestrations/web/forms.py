"""Input from people, validated. Errors name the place; what was typed is kept by whoever shows the form again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from orchestrations.conf import conf
from orchestrations.control.decisions import Outcome
from orchestrations.control.staleness import ExpectedState
from orchestrations.engine import payloads
from orchestrations.engine.state import Status
from orchestrations.errors import PayloadError

REASON_LIMIT = 4096
BRAKED = "Too many wrong passwords. Try again in {}, or use a sign-in link."
ID_FORBIDDEN = set("/\\#?")


class JsonField(forms.CharField):
    """JSON text; empty means no value. The cleaned value is canonical text, or None."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.Textarea(
            attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off", "class": "form-control code"}
        )
        super().__init__(required=False, strip=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> Any:
        """Return canonical text, or raise with the line, the column, and a caret below the place."""
        text = str(super().clean(value) or "")
        if not text.strip():
            return None
        try:
            return payloads.parse(text, "The text", payloads.Limits(conf.PAYLOAD_BYTES, conf.PAYLOAD_DEPTH))
        except PayloadError as error:
            raise ValidationError(f"{error.message}{caret(text)}", code=error.code) from None


def caret(text: str) -> str:
    """Return the offending line with a caret below the character, or nothing where the text is JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines() or [""]
        line = lines[min(error.lineno, len(lines)) - 1]
        first = max(0, error.colno - 40)
        return f"\n{line[first : first + 80]}\n{' ' * (error.colno - 1 - first)}^"
    except (ValueError, RecursionError):
        pass  # what is wrong with it has no place: a number of 5,000 digits
    return ""


class PasswordForm(AuthenticationForm):
    """Name and password. `admit` is asked with the name as it will be looked up, before the password is checked.

    `tried` is the name whose password was checked; `wait_seconds` says when it may be, if `admit` has refused.
    """

    error_messages = {"invalid_login": "Name or password is wrong.", "inactive": "Name or password is wrong."}
    admit: Callable[[str], float]
    tried = ""
    wait_seconds = 0.0

    def clean(self) -> dict[str, Any]:
        """Check the password if there is one and it may be tried now."""
        name = self.cleaned_data.get("username")
        if name and self.cleaned_data.get("password"):
            self.wait_seconds = self.admit(name)
            if self.wait_seconds:
                raise ValidationError(BRAKED.format(duration(self.wait_seconds)), code="braked")
            self.tried = name
        return super().clean()


def duration(seconds: float) -> str:
    """Return a time to wait as people read it, rounded up."""
    whole = math.ceil(seconds)
    return f"{whole} s" if whole < 60 else f"{math.ceil(whole / 60)} min"


class ExpectedStateForm(forms.Form):
    """What every action carries: the state that its page showed, and whether to act although that is over."""

    revision = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    status = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)
    anyway = forms.BooleanField(required=False, widget=forms.HiddenInput)

    @property
    def expected(self) -> ExpectedState | None:
        """What the page showed, unless the person has read what changed and goes on."""
        values = self.cleaned_data
        if values.get("anyway") or values.get("revision") is None or values.get("status") not in set(Status):
            return None
        return ExpectedState(values["revision"], Status(values["status"]))


class EventForm(ExpectedStateForm):
    """Raise an event."""

    event_name = forms.CharField(
        label="Event name",
        max_length=256,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    event_data = JsonField(label="Payload", help_text="JSON, or empty for none")
    event_id = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)


class ReasonForm(ExpectedStateForm):
    """Suspend or resume; the reason is welcome."""

    reason = forms.CharField(
        required=False, max_length=REASON_LIMIT, widget=forms.TextInput(attrs={"class": "form-control"})
    )


class TerminationForm(ExpectedStateForm):
    """Terminate; the reason is required."""

    reason = forms.CharField(
        max_length=REASON_LIMIT,
        error_messages={"required": "Say why: the reason becomes the output and is kept in the audit."},
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


class DecisionForm(forms.Form):
    """Approve or reject."""

    decision_id = forms.CharField(max_length=100, widget=forms.HiddenInput)
    outcome = forms.ChoiceField(choices=[(o.value, o.value) for o in Outcome])
    comment = forms.CharField(required=False, max_length=REASON_LIMIT)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if values.get("outcome") == Outcome.REJECTED and not values.get("comment"):
            self.add_error("comment", "A rejection needs a comment.")
        return values


class StartForm(forms.Form):
    """Start an orchestration. `token` is the id where none is given, so that a double click starts one."""

    name = forms.CharField(
        label="Orchestrator",
        max_length=256,
        widget=forms.TextInput(attrs={"class": "form-control", "list": "orchestrators", "autocomplete": "off"}),
    )
    instance_id = forms.CharField(
        label="Instance id",
        required=False,
        max_length=256,
        help_text="Empty for a random one",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    client_input = JsonField(label="Input", help_text="JSON, or empty for none")
    token = forms.RegexField(regex=r"^[0-9a-f]{32}$", widget=forms.HiddenInput)

    def clean_instance_id(self) -> str:
        found: str = self.cleaned_data["instance_id"]
        for number, character in enumerate(found, 1):
            if character in ID_FORBIDDEN or ord(character) < 32 or 127 <= ord(character) < 160:
                raise ValidationError(
                    f"Character {number}, {character!r}, may not be in an id; nor may / \\ # ? or a control character."
                )
        if found.startswith("@"):
            raise ValidationError("An id may not start with @: such ids are those of entities.")
        return found
