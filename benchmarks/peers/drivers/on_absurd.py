"""Absurd on PostgreSQL: its Python SDK, workers polling every 10 ms; by its default, 250 ms, they are slower idle."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
from absurd_sdk import AsyncAbsurd
from protocol import Watch, itself, median_of, percentile, serve, until, workers

URL, QUEUE, CONCURRENCY, POLL_SECONDS = os.environ["PEER_DATABASE"], "bench", 20, 0.01


def register(app: Any) -> None:
    """Declare the tasks."""

    async def hello() -> str:
        return "Hello Tokyo!"

    async def now() -> float:
        return time.time()

    @app.register_task("three")
    async def three(params: Any, ctx: Any) -> list[str]:
        return [await ctx.step(f"s{n}", hello) for n in range(3)]

    @app.register_task("chain")
    async def chain(params: Any, ctx: Any) -> int:
        for _ in range(params["n"]):
            await ctx.step("s", hello)
        return int(params["n"])

    @app.register_task("empty")
    async def empty(params: Any, ctx: Any) -> str:
        return "ok"

    @app.register_task("events")
    async def events(params: Any, ctx: Any) -> int:
        for number in range(params["n"]):
            await ctx.await_event(f"{params['key']}-{number}")
        return int(params["n"])

    @app.register_task("nap")
    async def nap(params: Any, ctx: Any) -> float:
        began = await ctx.step("t", now)
        await ctx.sleep_for("nap", 1)
        return time.time() - began - 1


class Side:
    """The workloads; it has no fan-out within a task."""

    def __init__(self, app: Any) -> None:
        self.app, self.monitor = app, psycopg.connect(URL, autocommit=True)

    async def sequences(self, size: int) -> float:
        watch = Watch()
        await self._wait_for_all(await self._start(size, "three"))
        return watch.rate(size)

    async def idle(self, size: int) -> float:
        async def one() -> None:
            await self._wait_for(*await self._start(1, "three"))

        return await median_of(size, one)

    async def chain(self, size: int) -> float:
        watch = Watch()
        await self._wait_for(*await self._start(1, "chain", n=size))
        return watch.rate(size)

    async def event_latency(self, size: int) -> float:
        keys = [uuid.uuid4().hex for _ in range(size)]
        ids = [one for key in keys for one in await self._start(1, "events", n=1, key=key)]
        await asyncio.sleep(4)
        found = []
        for key, one in zip(keys, ids, strict=True):
            watch = Watch()
            await self.app.emit_event(f"{key}-0", "x")
            await self._wait_for(one)
            found.append(watch.seconds)
        return percentile(found, 0.5)

    async def event_rate(self, size: int) -> float:
        key = uuid.uuid4().hex
        (one,) = await self._start(1, "events", n=size, key=key)
        await asyncio.sleep(0.6)
        watch = Watch()
        for number in range(size):
            await self.app.emit_event(f"{key}-{number}", "x")
        await self._wait_for(one)
        return watch.rate(size)

    async def timers(self, size: int) -> float:
        ids = await self._start(size, "nap")
        await self._wait_for_all(ids)
        return percentile([self._ask("completed_payload", one) for one in ids], 0.95)

    async def starts(self, size: int) -> float:
        watch = Watch()
        ids = await self._start(size, "empty")
        rate = watch.rate(size)
        await self._wait_for_all(ids)
        return rate

    async def _start(self, count: int, name: str, **params: Any) -> list[str]:
        return [(await self.app.spawn(name, params, queue=QUEUE))["task_id"] for _ in range(count)]

    async def _wait_for(self, task: str) -> None:
        await until(lambda: self._ask("state", task) == "completed")

    async def _wait_for_all(self, ids: list[str]) -> None:
        left = "select count(*) from absurd.t_bench where task_id = any(%s) and state <> 'completed'"
        await until(lambda: not self.monitor.execute(left, [ids]).fetchone()[0], 0.02)  # type: ignore[index]

    def _ask(self, column: str, task: str) -> Any:
        row = self.monitor.execute(f"select {column} from absurd.t_bench where task_id = %s", [task]).fetchone()
        return row[0] if row else None


async def main() -> None:
    """Make the schema, start workers, and serve."""
    control, values = str(Path(sys.executable).parent / "absurdctl"), {**os.environ, "ABSURD_DATABASE_URL": URL}
    for command in (["init"], ["create-queue", QUEUE]):
        subprocess.run([control, *command], env=values, check=True, stdout=2)
    app = AsyncAbsurd(URL, queue_name=QUEUE)
    with workers(*[itself("worker")] * int(os.environ["WORKERS"])):
        side = Side(app)
        await side.sequences(20)
        await serve(side)


async def work() -> None:
    """Be a worker."""
    app = AsyncAbsurd(URL, queue_name=QUEUE)
    register(app)
    await app.start_worker(concurrency=CONCURRENCY, poll_interval=POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1:] == ["worker"] else main())
