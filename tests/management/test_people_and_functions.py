"""What a newcomer asks the command line: how do I get in, which functions are there, and why is mine not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestrations import discovery
from orchestrations.authoring.registry import registry
from orchestrations.control import sign_in
from tests.management.test_durable import durable, refused


@pytest.fixture
def admin() -> User:
    return User.objects.create_user("admin")


def token_in(link: str) -> str:
    found = re.fullmatch(r"http://127\.0\.0\.1:8000/sign-in/([\w-]{40,})/", link.strip())
    assert found, link
    return found[1]


def test_a_link_signs_its_user_in_once_and_ends_the_earlier_one(admin: User, client: Client) -> None:
    first = durable("sign-in-link")
    assert (first.code, first.err) == (0, "It signs 'admin' in, once, within 15 minutes.\n")
    second = durable("sign-in-link", "--json").json
    assert (second["user"], second["seconds"]) == ("admin", 900)
    assert sign_in.find_link_user(token_in(first.out)) is None
    token = token_in(second["link"])
    assert client.post(f"/sign-in/{token}/").status_code == 302
    assert client.get("/healthz/ready").json()["worker_count"] == 0
    assert sign_in.find_link_user(token) is None


def test_nobody_gets_a_link_for_an_account_that_is_not_there_or_is_closed(admin: User) -> None:
    assert refused("sign-in-link", "--user", "ghost").err == "error: There is no active account 'ghost'.\n"
    User.objects.update(is_active=False)
    assert refused("sign-in-link").code == 2


def test_functions_are_listed_with_their_queue_and_the_line_where_they_begin() -> None:
    lines = durable("functions").out.splitlines()
    hello = next(line for line in lines if "E1_SayHello" in line)
    assert re.search(r"^activity .*/orchestrations/samples/durable/hello\.py:\d+$", hello)
    found = {function["name"]: function for function in durable("functions", "--json").json["functions"]}
    assert found["E1_HelloSequence"]["kind"] == "orchestrator"


def test_what_could_not_be_imported_costs_one_line_of_each_command(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = discovery.Problem("shop.durable", "/shop/durable.py, line 3: SyntaxError: invalid syntax")
    monkeypatch.setattr(discovery, "_problems", [problem])
    line = f"warning: shop.durable cannot be used: {problem.reason}.\n"
    done = durable("functions")
    assert (done.code, done.err) == (1, line)
    assert "E1_SayHello" in done.out
    assert durable("functions", "--json").json["problems"] == [{"name": problem.name, "reason": problem.reason}]
    assert durable("list").err == line
    assert durable("list").code == 0
    assert [message.id for message in discovery.check_functions(None)] == ["orchestrations.W021"]


@pytest.fixture
def kept_registry() -> Iterator[None]:
    """What a test registers goes with it."""
    known = list(registry.functions())
    yield
    registry.discard(lambda function: function not in known)


def test_a_module_that_fails_registers_nothing_and_the_next_one_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: object, kept_registry: None
) -> None:
    header = "from orchestrations import activity, orchestrator\n"
    (tmp_path / "helper_of_broken.py").write_text(header + "@activity\ndef HelperOfBroken(_): ...\n")
    (tmp_path / "broken_one.py").write_text(
        header + "import helper_of_broken\n@activity\ndef HalfOfBroken(_): ...\nraise ValueError('two\\nlines')\n"
    )
    (tmp_path / "twin_one.py").write_text(header + "@activity\ndef E1_SayHello(_): ...\n")
    (tmp_path / "leaving_one.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "sound_one.py").write_text(header + "@orchestrator\ndef SoundOne(context): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(discovery, "_problems", [])
    names = ["broken_one", "twin_one", "leaving_one", "missing_one", "sound_one"]
    monkeypatch.setattr(settings, "DURABLE_MODULES", names)
    discovery.import_functions()
    reasons = {problem.name: problem.reason for problem in discovery.list_problems()}
    assert reasons["broken_one"] == f"{tmp_path}/broken_one.py, line 5: ValueError: two lines"
    assert reasons["twin_one"].startswith(f"{tmp_path}/twin_one.py, line 2: DuplicateFunctionError: Two activity")
    assert reasons["leaving_one"] == f"{tmp_path}/leaving_one.py, line 2: SystemExit: 3"
    assert reasons["missing_one"] == "ModuleNotFoundError: No module named 'missing_one'"
    assert set(reasons) == set(names[:4])
    known = {function["name"] for function in durable("functions", "--json").json["functions"]}
    assert {"SoundOne", "HelperOfBroken", "E1_SayHello"} <= known
    assert "HalfOfBroken" not in known
