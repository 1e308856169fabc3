"""What templates need beyond Django: icons, times that the browser keeps fresh, visible text, sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrations.web import assets, payloads

register = template.Library()


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Show an icon of the sprite; without a label it is decoration."""
    url = f"{reverse('icons')}?v={assets.icon_sprite()[1]}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"/></svg>', label, url)
    return format_html('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}"/></svg>', url)


@register.simple_tag
def instant(at: datetime | None, how: str = "full") -> SafeString | str:
    """Show an instant, absolute in UTC; the browser makes it local, or relative: `ago`, `until`, `since`, `clock`."""
    if at is None:
        return "–"
    shown = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time class="when" datetime="{}" data-behaviour="moment" data-how="{}" title="{}">{}</time>',
        at.isoformat(), how, shown, f"since {shown}" if how == "since" else shown,
    )  # fmt: skip


@register.simple_tag
def duration(start: datetime | None, end: datetime | None) -> SafeString | str:
    """Show how long something took; without an end the browser counts on."""
    if start is None:
        return "–"
    if end is None:
        text = f"since {start.astimezone(UTC):%H:%M:%S}"
        markup = '<time class="when" datetime="{}" data-behaviour="moment" data-how="growing">{}</time>'
        return format_html(markup, start.isoformat(), text)
    return format_html(
        '<time class="when" title="{} seconds">{}</time>', (end - start).total_seconds(), length(end - start)
    )


@register.filter
def visible(value: Any) -> str:
    """Show control and direction characters as numbers."""
    return payloads.visible(str(value))


@register.filter
def size(value: int) -> str:
    """Show a number of bytes."""
    return payloads.human_size(value)


def length(value: timedelta) -> str:
    """Return a length of time as `1h 03m 07s`, below ten seconds with a decimal, below one in milliseconds."""
    seconds = max(0.0, value.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours:02}h {minutes:02}m"
    if hours:
        return f"{hours}h {minutes:02}m {whole % 60:02}s"
    return f"{minutes}m {whole % 60:02}s" if minutes else f"{whole} s"
