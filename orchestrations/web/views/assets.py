"""Files that are made here."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from orchestrations.web.assets import icon_sprite


@require_safe
def icons(request: HttpRequest) -> HttpResponse:
    """The icons in use. Their address carries a digest, so browsers keep them for a year."""
    response = HttpResponse(icon_sprite()[0], content_type="image/svg+xml")
    response["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
