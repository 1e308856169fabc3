"""durableweb as it ships: its own settings, an embedded Valkey, a supervisor with its workers; the client is here."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from protocol import HERE, Watch, median_of, percentile, serve, until, workers

PROJECT = Path(HERE).parent.parent.parent
LIVE = ("Pending", "Running", "Suspended")
RAW_TABLE = "CREATE TABLE IF NOT EXISTS raw_commits (n integer)"


async def main() -> None:
    """Prepare a home, start everything, and serve."""
    sys.path.insert(0, str(PROJECT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "durableweb.settings"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the driver does one thing at a time
    os.environ["DURABLE_APPS"] = str(Path(HERE) / "functions.py")
    from durableweb import valkey
    from durableweb.home import Home

    home = Home(Path(os.environ["DURABLE_HOME"]))
    home.path.mkdir(mode=0o700, parents=True)
    home.ensure_secret(home.secret_key_file)
    home.ensure_secret(home.redis_password_file)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    supervisor = [sys.executable, str(PROJECT / "manage.py"), "durable_worker", "--workers", os.environ["WORKERS"]]
    with workers(valkey.command(home)):
        assert valkey.wait_until_it_answers(home.redis_url)
        with workers(supervisor):
            from orchestrations.store.models import Worker

            await until(lambda: Worker.objects.count() >= int(os.environ["WORKERS"]), 0.1)
            side = Side()
            await side.sequences(20)
            await serve(side)


class Side:
    """The workloads, by the names that everybody knows them under."""

    def __init__(self) -> None:
        from orchestrations import DurableClient

        self.client: Any = DurableClient()

    async def sequences(self, size: int) -> float:
        watch = Watch()
        self._start("three", size)
        await self._wait_for_all()
        return watch.rate(size)

    async def idle(self, size: int) -> float:
        return await median_of(size, lambda: self._wait_for(self.client.start_new("three")))

    async def chain(self, size: int) -> float:
        return await self._one("chain", size)

    async def fan(self, size: int) -> float:
        return await self._one("fan", size)

    async def event_latency(self, size: int) -> float:
        ids = self._start("events", size, 1)
        await asyncio.sleep(2)
        found = []
        for one in ids:
            watch = Watch()
            self.client.raise_event(one, "go", "x")
            await self._wait_for(one)
            found.append(watch.seconds)
        return percentile(found, 0.5)

    async def event_rate(self, size: int) -> float:
        return await self._events(size, 1)

    async def event_batches(self, size: int) -> float:
        return await self._events(size, 100)

    async def timers(self, size: int) -> float:
        ids = self._start("nap", size)
        await self._wait_for_all()
        return percentile([self.client.get_status(one).output for one in ids], 0.95)

    async def starts(self, size: int) -> float:
        watch = Watch()
        self._start("empty", size)
        rate = watch.rate(size)
        await self._wait_for_all()
        return rate

    async def start_batches(self, size: int) -> float:
        from orchestrations import StartRequest

        watch = Watch()
        for start in range(0, size, 100):
            self.client.start_many([StartRequest("empty")] * min(100, size - start))
        rate = watch.rate(size)
        await self._wait_for_all()
        return rate

    async def raw_commits(self, size: int) -> float:
        """Rows inserted and committed one by one through Django's cursor: what the ground allows."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(RAW_TABLE)
            watch = Watch()
            for number in range(size):
                cursor.execute("INSERT INTO raw_commits (n) VALUES (%s)", [number])
            return watch.rate(size)

    async def _events(self, size: int, batch: int) -> float:
        from orchestrations import EventRequest

        (one,) = self._start("events", 1, size)
        await asyncio.sleep(0.6)
        watch = Watch()
        for start in range(0, size, batch):
            self.client.raise_events([EventRequest(one, "go", "x")] * min(batch, size - start))
        await self._wait_for(one)
        return watch.rate(size)

    async def _one(self, name: str, size: int) -> float:
        watch = Watch()
        await self._wait_for(self.client.start_new(name, client_input=size))
        return watch.rate(size)

    def _start(self, name: str, count: int, client_input: Any = None) -> list[str]:
        return [self.client.start_new(name, client_input=client_input) for _ in range(count)]

    async def _wait_for(self, instance_id: str) -> None:
        from orchestrations.client import queries

        def is_over() -> bool:
            status = queries.read_status(self.client.hub, instance_id)
            return status is not None and status.is_terminal

        await until(is_over)
        assert self.client.get_status(instance_id).runtime_status == "Completed"

    async def _wait_for_all(self) -> None:
        from orchestrations.store.models import Instance

        await until(lambda: not Instance.objects.filter(status__in=LIVE).exists(), 0.02)
        assert not Instance.objects.exclude(status="Completed").exists()


if __name__ == "__main__":
    asyncio.run(main())
