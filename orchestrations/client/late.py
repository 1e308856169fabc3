"""The client's class for who asks before Django is ready: at the top of a script, of an app's package or of its models.

Rival: a client without imports of the store at its top, which every one of its modules would have to keep up.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps


def client_class() -> Any:
    """Return `DurableClient`, or a stand-in for it that becomes one when it is called."""
    return _real() if apps.apps_ready else LateClient


class _Late(type):
    """What is asked of the stand-in is asked of the class, which by then can be imported."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real())


class LateClient(metaclass=_Late):
    """Stands for `DurableClient` until Django is ready; from then on calls, attributes and `isinstance` are its own."""


def _real() -> Any:
    from orchestrations.client.client import DurableClient

    return DurableClient
