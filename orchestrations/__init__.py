"""durableweb: Azure Durable Functions on Django. This is the public door for authors.

It imports before Django is ready and without it, so that functions can be tested anywhere. `DurableClient` alone needs
Django: it is loaded when it is asked for, and where Django is not ready yet, when it is used.
"""

from typing import TYPE_CHECKING, Any

from orchestrations.authoring.activity_context import ActivityContext
from orchestrations.authoring.context import OrchestrationContext
from orchestrations.authoring.decorators import activity, orchestrator
from orchestrations.client.requests import EventRequest, StartRequest
from orchestrations.engine.failure_types import failure_type, register_error
from orchestrations.engine.failures import (
    EventTimeoutError,
    FailureDetails,
    NonRetriableError,
    TaskCancelledError,
    TaskFailedError,
)
from orchestrations.engine.retries import RetryOptions
from orchestrations.engine.tasks import Task
from orchestrations.errors import ActivityTimeoutError, DurableError, NondeterminismError, PayloadError

if TYPE_CHECKING:
    from orchestrations.client.client import DurableClient

__all__ = [
    "ActivityContext",
    "ActivityTimeoutError",
    "DurableClient",
    "DurableError",
    "EventRequest",
    "EventTimeoutError",
    "FailureDetails",
    "NonRetriableError",
    "NondeterminismError",
    "OrchestrationContext",
    "PayloadError",
    "RetryOptions",
    "StartRequest",
    "Task",
    "TaskCancelledError",
    "TaskFailedError",
    "activity",
    "failure_type",
    "orchestrator",
    "register_error",
]


def __getattr__(name: str) -> Any:
    """Return `DurableClient`: the class, or a stand-in for it as long as Django's apps are not loaded."""
    if name != "DurableClient":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from orchestrations.client import late

    return late.client_class()
