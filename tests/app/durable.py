"""Importing this registers the tests' functions."""

from tests import functions

__all__ = ["functions"]
