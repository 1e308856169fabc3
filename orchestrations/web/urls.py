"""Placeholder until the pages are complete."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
