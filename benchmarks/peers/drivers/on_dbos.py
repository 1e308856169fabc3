"""DBOS on PostgreSQL, in process, which is its usual way: the application is the worker."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from dbos import DBOS
from protocol import Watch, median_of, percentile, serve


@DBOS.step()
async def hello(name: str) -> str:
    return f"Hello {name}!"


@DBOS.workflow()
async def three() -> list[str]:
    return [await hello(city) for city in ("Tokyo", "Seattle", "London")]


@DBOS.workflow()
async def one_chain(length: int) -> int:
    for number in range(length):
        await hello(str(number))
    return length


@DBOS.workflow()
async def one_fan(width: int) -> int:
    return len(await asyncio.gather(*(hello(str(number)) for number in range(width))))


@DBOS.workflow()
async def events(count: int) -> int:
    for _ in range(count):
        await DBOS.recv_async("go", timeout_seconds=600)
    return count


@DBOS.workflow()
async def nap() -> float:
    began = time.time()
    await DBOS.sleep_async(1)
    return time.time() - began - 1


@DBOS.workflow()
async def empty() -> str:
    return "ok"


class Side:
    """The workloads."""

    async def sequences(self, size: int) -> float:
        watch = Watch()
        await _results(await _start(size, three))
        return watch.rate(size)

    async def idle(self, size: int) -> float:
        async def one() -> None:
            await _results(await _start(1, three))

        return await median_of(size, one)

    async def chain(self, size: int) -> float:
        watch = Watch()
        await _results(await _start(1, one_chain, size))
        return watch.rate(size)

    async def fan(self, size: int) -> float:
        watch = Watch()
        await _results(await _start(1, one_fan, size))
        return watch.rate(size)

    async def event_latency(self, size: int) -> float:
        handles = await _start(size, events, 1)
        await asyncio.sleep(2)
        found = []
        for handle in handles:
            watch = Watch()
            await DBOS.send_async(handle.workflow_id, "x", "go")
            await handle.get_result()
            found.append(watch.seconds)
        return percentile(found, 0.5)

    async def event_rate(self, size: int) -> float:
        (handle,) = await _start(1, events, size)
        await asyncio.sleep(0.6)
        watch = Watch()
        for _ in range(size):
            await DBOS.send_async(handle.workflow_id, "x", "go")
        await handle.get_result()
        return watch.rate(size)

    async def timers(self, size: int) -> float:
        return percentile(await _results(await _start(size, nap)), 0.95)

    async def starts(self, size: int) -> float:
        watch = Watch()
        handles = await _start(size, empty)
        rate = watch.rate(size)
        await _results(handles)
        return rate


async def _start(count: int, workflow: Any, *arguments: Any) -> list[Any]:
    return [await DBOS.start_workflow_async(workflow, *arguments) for _ in range(count)]


async def _results(handles: list[Any]) -> list[Any]:
    return [await handle.get_result() for handle in handles]


async def main() -> None:
    """Launch it and serve."""
    config = {"name": "bench", "system_database_url": os.environ["PEER_DATABASE"], "log_level": "ERROR"}
    DBOS(config={**config, "enable_otlp": False})  # type: ignore[typeddict-item]
    DBOS.launch()
    side = Side()
    await side.sequences(20)
    await serve(side)
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
