"""Restate: its server on one node with defaults, its Python SDK served by hypercorn; activities are durable steps.

The client is aiohttp against the ingress, 100 requests at a time, which is how its documentation starts things.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from datetime import timedelta
from typing import Any

import restate
from protocol import Watch, median_of, percentile, serve, workers
from restate import Service, Workflow

PORT, INGRESS, ADMIN = 59080, "http://127.0.0.1:8080", "http://127.0.0.1:9070"
LIVE = "select count(*) as n from sys_invocation where status != 'completed'"

flows, waiting = Service("Flows"), Workflow("Waiting")


async def hello() -> str:
    return "Hello Tokyo!"


async def now() -> float:
    import time

    return time.time()


@flows.handler()
async def three(ctx: restate.Context, _: str) -> list[str]:
    return [await ctx.run_typed("hello", hello) for _ in range(3)]


@flows.handler()
async def chain(ctx: restate.Context, length: int) -> int:
    for _ in range(length):
        await ctx.run_typed("hello", hello)
    return length


@flows.handler()
async def fan(ctx: restate.Context, width: int) -> int:
    steps = [ctx.run_typed("hello", hello) for _ in range(width)]
    return len([await step for step in await restate.gather(*steps)])


@flows.handler()
async def nap(ctx: restate.Context, _: str) -> float:
    began = await ctx.run_typed("now", now)
    await ctx.sleep(timedelta(seconds=1))
    return await now() - began - 1


@flows.handler()
async def empty(ctx: restate.Context, _: str) -> str:
    return "ok"


@waiting.main()
async def run(ctx: restate.WorkflowContext, count: int) -> int:
    for number in range(count):
        await ctx.promise(f"e{number}").value()
    return count


@waiting.handler()
async def go(ctx: restate.WorkflowSharedContext, number: int) -> None:
    await ctx.promise(f"e{number}").resolve("x")


app = restate.app(services=[flows, waiting])


class Side:
    """The workloads."""

    def __init__(self, http: Any) -> None:
        self.http = http

    async def sequences(self, size: int) -> float:
        watch = Watch()
        await asyncio.gather(*(self.post("/Flows/three", "x") for _ in range(size)))
        return watch.rate(size)

    async def idle(self, size: int) -> float:
        return await median_of(size, lambda: self.post("/Flows/three", "x"))

    async def chain(self, size: int) -> float:
        return await self._one("chain", size)

    async def fan(self, size: int) -> float:
        return await self._one("fan", size)

    async def event_latency(self, size: int) -> float:
        keys = [uuid.uuid4().hex for _ in range(size)]
        ids = [(await self.post(f"/Waiting/{key}/run/send", 1))["invocationId"] for key in keys]
        await asyncio.sleep(2)
        found = []
        for key, one in zip(keys, ids, strict=True):
            watch = Watch()
            await self.post(f"/Waiting/{key}/go", 0)
            await self.attach(one)
            found.append(watch.seconds)
        return percentile(found, 0.5)

    async def event_rate(self, size: int) -> float:
        key = uuid.uuid4().hex
        one = (await self.post(f"/Waiting/{key}/run/send", size))["invocationId"]
        await asyncio.sleep(0.6)
        watch = Watch()
        await asyncio.gather(*(self.post(f"/Waiting/{key}/go", number) for number in range(size)))
        await self.attach(one)
        return watch.rate(size)

    async def timers(self, size: int) -> float:
        found = await asyncio.gather(*(self.post("/Flows/nap/send", "x") for _ in range(size)))
        return percentile(await asyncio.gather(*(self.attach(one["invocationId"]) for one in found)), 0.95)

    async def starts(self, size: int) -> float:
        watch = Watch()
        await asyncio.gather(*(self.post("/Flows/empty/send", "x") for _ in range(size)))
        rate = watch.rate(size)
        while (await self.post("/query", {"query": LIVE}, ADMIN, accept="application/json"))["rows"][0]["n"]:
            await asyncio.sleep(0.02)
        return rate

    async def _one(self, name: str, size: int) -> float:
        watch = Watch()
        assert await self.post(f"/Flows/{name}", size) == size
        return watch.rate(size)

    async def post(self, path: str, body: Any, base: str = INGRESS, **headers: str) -> Any:
        async with self.http.post(base + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, (answer.status, path, text[:300])
            return await answer.json() if text else None

    async def attach(self, invocation: str) -> Any:
        async with self.http.get(f"{INGRESS}/restate/invocation/{invocation}/attach") as answer:
            return await answer.json()


async def main() -> None:
    """Start server and workers, announce these, and serve."""
    import aiohttp

    server = [os.environ["RESTATE_SERVER"], "--base-dir", os.environ["PEER_DIRECTORY"], "--bind-ip", "127.0.0.1"]
    served = [sys.executable, "-m", "hypercorn", "-b", f"127.0.0.1:{PORT}", "on_restate:app"]
    served += ["-w", os.environ["WORKERS"]]
    no_limit = aiohttp.ClientTimeout(total=None)  # a wide fan-out takes longer than the five minutes of its default
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100), timeout=no_limit) as http:
        side = Side(http)
        with workers(server), workers(served):
            await _announce(side)
            await side.sequences(20)
            await serve(side)


async def _announce(side: Side) -> None:
    import aiohttp

    for _ in range(100):
        try:
            await side.post("/deployments", {"uri": f"http://127.0.0.1:{PORT}", "force": True}, ADMIN)
            return
        except (aiohttp.ClientError, AssertionError) as error:
            refusal = error
            await asyncio.sleep(0.3)
    raise TimeoutError("The server did not accept our functions within 30 s.") from refusal


if __name__ == "__main__":
    asyncio.run(main())
