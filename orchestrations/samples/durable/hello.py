"""Function chaining: the classic first orchestration."""

from collections.abc import Generator
from typing import Any

from orchestrations import OrchestrationContext, activity, orchestrator


@orchestrator
def E1_HelloSequence(context: OrchestrationContext) -> Generator[Any, Any, list[str]]:
    """Greet two cities, one after the other."""
    outputs = []
    outputs.append((yield context.call_activity("E1_SayHello", "Tokyo")))
    outputs.append((yield context.call_activity("E1_SayHello", "Seattle")))
    return outputs


@activity
def E1_SayHello(name: str) -> str:
    """Return a greeting."""
    return f"Hello {name}!"
