"""The app of the tests' functions."""

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    """See the package."""

    name = "tests.app"
    label = "durable_tests"
