"""Live asks nobody; ready is red while work could not be done, and tells strangers no numbers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from durableweb.health import Stopping
from orchestrations.runtime import queues
from orchestrations.store import clock
from orchestrations.store.models import Supervisor, Worker
from tests import servers

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def not_stopping() -> Iterator[None]:
    yield
    Stopping.begun = False


@pytest.fixture
def worker(redis_server: servers.RedisServer) -> Worker:
    """A worker and a sweep, both of this moment."""
    now = clock.now()
    Supervisor.objects.create(id="s", host="h", pid=1, started_at=now, seen_at=now, swept_at=now)
    return Worker.objects.create(id="w", supervisor_id="s", queue="main.default", pid=2, started_at=now, seen_at=now)


def test_live_is_green_without_anything(client: Client) -> None:
    answer = client.get("/healthz/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


def test_ready_is_green_when_every_part_works(client: Client, worker: Worker) -> None:
    answer = client.get("/healthz/ready")
    assert answer.status_code == 200
    assert set(answer.json().values()) == {True}
    assert "no-store" in answer["Cache-Control"]


def test_ready_is_red_without_a_worker(client: Client, worker: Worker) -> None:
    worker.delete()
    answer = client.get("/healthz/ready")
    assert answer.status_code == 503
    assert [part for part, works in answer.json().items() if not works] == ["ready", "workers"]


def test_ready_is_red_when_nobody_has_swept_for_a_while(client: Client, worker: Worker) -> None:
    Supervisor.objects.update(swept_at=clock.now() - timedelta(seconds=6))
    answer = client.get("/healthz/ready")
    assert answer.status_code == 503
    assert answer.json()["sweep"] is False


def test_ready_is_red_without_the_queue(client: Client, worker: Worker, redis_server: servers.RedisServer) -> None:
    redis_server.stop()
    answer = client.get("/healthz/ready")
    assert answer.status_code == 503
    assert answer.json()["queue"] is False
    assert answer.json()["database"] is True


def test_ready_is_red_while_the_queue_refuses_scripts(client: Client, worker: Worker) -> None:
    redis: Any = queues.connection()
    redis.execute_command("ACL", "SETUSER", "default", "-@scripting")
    try:
        answer = client.get("/healthz/ready")
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")
    assert answer.status_code == 503
    assert answer.json()["queue"] is False


def test_ready_is_red_while_the_queue_is_full(
    client: Client, worker: Worker, redis_server: servers.RedisServer
) -> None:
    queues.connection().config_set("maxmemory", 1)
    try:
        answer = client.get("/healthz/ready")
    finally:
        queues.connection().config_set("maxmemory", 0)
    assert answer.status_code == 503
    assert answer.json()["queue"] is False
    assert client.get("/healthz/ready").json()["queue"] is True


def test_ready_is_red_while_the_queue_s_key_is_no_queue(client: Client, worker: Worker) -> None:
    queues.connection().set("rq:queue:main.default", "damaged")
    answer = client.get("/healthz/ready")
    assert (answer.status_code, answer.json()["queue"]) == (503, False)


def test_ready_is_red_first_when_the_server_stops(client: Client, worker: Worker) -> None:
    Stopping.begun = True
    assert client.get("/healthz/ready").status_code == 503
    assert client.get("/healthz/live").status_code == 200


def test_numbers_are_for_people_who_have_signed_in(client: Client, worker: Worker) -> None:
    assert "worker_count" not in client.get("/healthz/ready").json()
    client.force_login(User.objects.create_user("somebody"))
    assert client.get("/healthz/ready").json()["worker_count"] == 1


def test_health_takes_no_other_method(client: Client) -> None:
    assert client.post("/healthz/live").status_code == 405
