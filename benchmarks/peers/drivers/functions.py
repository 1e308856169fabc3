"""The functions of the workloads as durableweb has them: an app of one file."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from orchestrations import OrchestrationContext, activity, orchestrator


@activity
def hello(name: str) -> str:
    return f"Hello {name}!"


@orchestrator
def three(context: OrchestrationContext) -> Any:
    out = []
    for city in ("Tokyo", "Seattle", "London"):
        out.append((yield context.call_activity(hello, city)))
    return out


@orchestrator
def chain(context: OrchestrationContext, length: int) -> Any:
    for number in range(length):
        yield context.call_activity(hello, str(number))
    return length


@orchestrator
def fan(context: OrchestrationContext, width: int) -> Any:
    found = yield context.task_all([context.call_activity(hello, str(n)) for n in range(width)])
    return len(found)


@orchestrator
def events(context: OrchestrationContext, count: int) -> Any:
    for _ in range(count):
        yield context.wait_for_external_event("go")
    return count


@activity
def now(_: None) -> float:
    return time.time()


@orchestrator
def nap(context: OrchestrationContext) -> Any:
    began = yield context.call_activity(now)
    yield context.create_timer(timedelta(seconds=1))
    return (yield context.call_activity(now)) - began - 1


@orchestrator
def empty(context: OrchestrationContext) -> str:
    return "ok"
