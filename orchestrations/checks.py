"""System checks: deployment mistakes, each with an id and the line that mends it."""

from __future__ import annotations

import difflib
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connection

from orchestrations.authoring.lint import ADVICE, Finding, check_function
from orchestrations.authoring.registry import ORCHESTRATOR, Function, place_of, registry
from orchestrations.conf import RANGES, channel_backend, conf, given_names, known_names, types

PROJECT_NAMES = {"HOME", "SAMPLES", "QUEUES", "APPS"}


@register()
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: a setting nobody reads; E002: a wrong type; E003: out of range (BAD-76)."""
    found: list[CheckMessage] = []
    for name in set(given_names()) - set(known_names()) - PROJECT_NAMES:
        near = difflib.get_close_matches(name, known_names(), n=1)
        hint = f"Did you mean DURABLE_{near[0]}?" if near else "Remove it."
        found.append(Error(f"Nobody reads the setting DURABLE_{name}.", hint=hint, id="orchestrations.E001"))
    for name, kind in types().items():
        found += _check_value(name, kind, getattr(conf, name))
    return found


@register()
def check_lease(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E005: leases that run out between two beats, so that work of living workers would be taken from them."""
    lease, beat = conf.LEASE_SECONDS, conf.BEAT_SECONDS
    if not all(isinstance(value, int | float) for value in (lease, beat)) or beat * 2 <= lease:
        return []  # of another type: E002 says so
    text = f"DURABLE_BEAT_SECONDS is {beat:g}, more than half of DURABLE_LEASE_SECONDS, which is {lease:g}."
    hint = "Choose a shorter beat or a longer lease, or activities that run for longer are taken for lost."
    return [Error(text, hint=hint, id="orchestrations.E005")]


@register("database")
def check_database(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E004: SQLite without the one profile that does not lose writes to 'database is locked' (D3)."""
    if connection.vendor != "sqlite":
        return []
    options = connection.settings_dict.get("OPTIONS", {})
    if options.get("transaction_mode") == "IMMEDIATE":
        return []
    hint = "Set OPTIONS['transaction_mode'] = 'IMMEDIATE', with journal_mode=WAL and synchronous=FULL."
    return [Error("SQLite transactions must begin IMMEDIATE.", hint=hint, id="orchestrations.E004")]


@register()
def check_channel_layer(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W001: an in-memory channel layer never leaves its process: pages learn of workers only by the beat."""

    if "InMemory" not in channel_backend():
        return []
    return [Warning("The channel layer is in memory.", hint="Configure channels_redis.", id="orchestrations.W001")]


@register()
def check_orchestrators(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W010: an orchestrator uses what a replay would not repeat: a clock, randomness, IO, threads."""
    found: list[CheckMessage] = []
    for function in registry.functions():
        if function.kind != ORCHESTRATOR:
            continue
        for finding in _lint(function):
            place = place_of(function)
            where = f"{place[0]}:{finding.line}" if place else f"line {finding.line}"
            text = f"{where}: the orchestrator '{function.name}' uses {finding.what} ({finding.kind})."
            found.append(Warning(text, hint=ADVICE[finding.kind], id="orchestrations.W010"))
    return found


def _lint(function: Function) -> list[Finding]:
    try:
        return check_function(function.call)
    except (OSError, SyntaxError, AttributeError):  # no source that could be read
        return []


def _check_value(name: str, kind: type, value: Any) -> list[CheckMessage]:
    is_number = kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, kind) and not (kind is float and is_number):
        text = f"DURABLE_{name} must be of type {kind.__name__}, not {value!r}."
        return [Error(text, hint=f"Give a {kind.__name__}.", id="orchestrations.E002")]
    lowest, highest = RANGES.get(name, (float("-inf"), float("inf")))
    if is_number and not lowest <= value <= highest:
        text = f"DURABLE_{name} must be from {lowest:g} to {highest:g}, not {value!r}."
        return [Error(text, hint="Choose a value in that range.", id="orchestrations.E003")]
    return []
