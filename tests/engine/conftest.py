"""Hypothesis: examples may take as long as a busy machine needs, and a failure says how to run it again."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("engine", deadline=None, print_blob=True)
settings.load_profile("engine")
