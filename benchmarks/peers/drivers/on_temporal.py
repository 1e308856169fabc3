"""Temporal's dev server on a file, with its Python SDK; activities are normal ones, through the server's task queue."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from datetime import timedelta
from typing import Any

from protocol import Watch, itself, median_of, percentile, serve, workers
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

PORT, QUEUE, WINDOW = "57243", "bench", 1000
POLLS = ("history.transferProcessorMaxPollRPS=5000", "history.timerProcessorMaxPollRPS=5000")
"""The default of 20 polls a second would be all that one instance can do."""


@activity.defn
async def hello(name: str) -> str:
    return f"Hello {name}!"


async def call(name: str) -> str:
    return await workflow.execute_activity(hello, name, start_to_close_timeout=timedelta(seconds=60))


@workflow.defn
class Three:
    @workflow.run
    async def run(self) -> list[str]:
        return [await call(city) for city in ("Tokyo", "Seattle", "London")]


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, length: int) -> int:
        for number in range(length):
            await call(str(number))
        return length


@workflow.defn
class Fan:
    """The server refuses more than 2,000 pending activities."""

    @workflow.run
    async def run(self, width: int) -> int:
        places = asyncio.Semaphore(WINDOW)

        async def one(number: int) -> str:
            async with places:
                return await call(str(number))

        return len(await asyncio.gather(*(one(number) for number in range(width))))


@workflow.defn
class Events:
    def __init__(self) -> None:
        self.seen = 0

    @workflow.run
    async def run(self, count: int) -> int:
        await workflow.wait_condition(lambda: self.seen >= count)
        return self.seen

    @workflow.signal
    async def go(self, _: str) -> None:
        self.seen += 1


@workflow.defn
class Nap:
    @workflow.run
    async def run(self) -> float:
        began = workflow.now().timestamp()
        await asyncio.sleep(1)
        return workflow.now().timestamp() - began - 1


@workflow.defn
class Empty:
    @workflow.run
    async def run(self) -> str:
        return "ok"


FLOWS = [Three, Chain, Fan, Events, Nap, Empty]


class Side:
    """The workloads."""

    def __init__(self, client: Client) -> None:
        self.client, self.places, self.waits = client, asyncio.Semaphore(100), asyncio.Semaphore(500)

    async def sequences(self, size: int) -> float:
        watch = Watch()
        await self._results(await self._start(size, Three))
        return watch.rate(size)

    async def idle(self, size: int) -> float:
        async def one() -> None:
            await self._results(await self._start(1, Three))

        return await median_of(size, one)

    async def chain(self, size: int) -> float:
        return await self._one(Chain, size)

    async def fan(self, size: int) -> float:
        return await self._one(Fan, size)

    async def event_latency(self, size: int) -> float:
        handles = await self._start(size, Events, 1)
        await asyncio.sleep(2)
        found = []
        for handle in handles:
            watch = Watch()
            await handle.signal(Events.go, "x")
            await handle.result()
            found.append(watch.seconds)
        return percentile(found, 0.5)

    async def event_rate(self, size: int) -> float:
        (handle,) = await self._start(1, Events, size)
        await asyncio.sleep(0.6)

        async def send() -> None:
            async with self.places:
                await handle.signal(Events.go, "x")

        watch = Watch()
        await asyncio.gather(*(send() for _ in range(size)))
        await handle.result()
        return watch.rate(size)

    async def timers(self, size: int) -> float:
        return percentile(await self._results(await self._start(size, Nap)), 0.95)

    async def starts(self, size: int) -> float:
        watch = Watch()
        handles = await self._start(size, Empty)
        rate = watch.rate(size)
        await self._results(handles)
        return rate

    async def _one(self, flow: Any, size: int) -> float:
        watch = Watch()
        await self._results(await self._start(1, flow, size))
        return watch.rate(size)

    async def _start(self, count: int, flow: Any, *arguments: Any) -> list[Any]:
        async def one() -> Any:
            async with self.places:
                name = uuid.uuid4().hex
                return await self.client.start_workflow(flow.run, args=list(arguments), id=name, task_queue=QUEUE)

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def _results(self, handles: list[Any]) -> list[Any]:
        async def one(handle: Any) -> Any:
            async with self.waits:  # the server refuses more long polls at once
                return await handle.result()

        return list(await asyncio.gather(*(one(handle) for handle in handles)))


async def main() -> None:
    """Start server and workers, and serve."""
    server = [os.environ["TEMPORAL"], "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", PORT]
    server += ["--log-level", "error", "--db-filename", os.path.join(os.environ["PEER_DIRECTORY"], "temporal.db")]
    for setting in POLLS:
        server += ["--dynamic-config-value", setting]
    with workers(server):
        client = await _connect()
        with workers(*[itself("worker")] * int(os.environ["WORKERS"])):
            side = Side(client)
            await side.sequences(20)
            await serve(side)


async def work() -> None:
    """Be a worker."""
    await Worker(await _connect(), task_queue=QUEUE, workflows=FLOWS, activities=[hello]).run()


async def _connect() -> Client:
    for _ in range(100):
        try:
            return await Client.connect(f"127.0.0.1:{PORT}")
        except (RuntimeError, RPCError):
            await asyncio.sleep(0.3)
    raise TimeoutError("The dev server does not answer.")


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1:] == ["worker"] else main())
