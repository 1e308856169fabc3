"""Human interaction: ask for an approval, and escalate if nobody decides in time."""

from datetime import timedelta
from typing import Any

from orchestrations import OrchestrationContext, activity, orchestrator


@orchestrator
async def E4_Approval(context: OrchestrationContext, request: dict[str, Any] | None) -> dict[str, Any]:
    """Wait for the event `Approval`, whose data is `{"outcome": "approved" or "rejected", …}`, or for the deadline.

    The input is `{"subject", "deadline_seconds" (86400)}`; the output `{"outcome", "by"}`, where the outcome is
    `approved`, `rejected` or `escalated`.
    """
    request = request or {}
    subject = request.get("subject", "A request")
    await context.call_activity(E4_Ask, subject)
    context.set_custom_status(f"Waiting for a decision on: {subject}")
    deadline = context.create_timer(timedelta(seconds=request.get("deadline_seconds", 86_400)))
    decision = context.wait_for_external_event("Approval")
    if await context.task_any([decision, deadline]) is deadline:
        context.set_custom_status("Escalated")
        await context.call_activity(E4_Escalate, subject)
        return {"outcome": "escalated", "by": None}
    deadline.cancel()
    answer = decision.result
    context.set_custom_status(None)
    is_detailed = isinstance(answer, dict)
    outcome = answer.get("outcome") if is_detailed else ("approved" if answer else "rejected")
    return {"outcome": outcome, "by": answer.get("by") if is_detailed else None}


@activity
def E4_Ask(subject: str) -> str:
    """Ask for a decision; a real one would send a message."""
    return f"Asked for a decision on: {subject}"


@activity
def E4_Escalate(subject: str) -> str:
    """Tell the next level; a real one would send a message."""
    return f"Escalated: {subject}"
