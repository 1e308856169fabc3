"""The samples are a Django app of their own, installed only when the settings ask for it."""

from django.apps import AppConfig


class SamplesConfig(AppConfig):
    """The samples."""

    name = "orchestrations.samples"
    label = "samples"
    verbose_name = "Durable samples"
