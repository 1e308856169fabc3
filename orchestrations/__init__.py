"""durableweb: Azure Durable Functions on Django. This is the public door for authors.

It imports before Django is ready and without it, so that functions can be tested anywhere.
"""

from orchestrations.authoring.activity_context import ActivityContext
from orchestrations.authoring.context import OrchestrationContext
from orchestrations.authoring.decorators import activity, orchestrator
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
from orchestrations.errors import DurableError, NondeterminismError, PayloadError

__all__ = [
    "ActivityContext",
    "DurableError",
    "EventTimeoutError",
    "FailureDetails",
    "NonRetriableError",
    "NondeterminismError",
    "OrchestrationContext",
    "PayloadError",
    "RetryOptions",
    "Task",
    "TaskCancelledError",
    "TaskFailedError",
    "activity",
    "failure_type",
    "orchestrator",
    "register_error",
]
