"""Settings of real worker processes in tests: the product's own, and the app that registers the tests' functions."""

from durableweb.settings import *  # noqa: F403
from durableweb.settings import INSTALLED_APPS

INSTALLED_APPS.append("tests.app")
