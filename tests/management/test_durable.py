"""The command line: what each verb prints for people and for scripts, and with which code it exits."""

from __future__ import annotations

import getpass
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from orchestrations import OrchestrationContext, StartRequest, orchestrator
from orchestrations.client.client import DurableClient
from orchestrations.engine.state import Status
from orchestrations.management import output
from orchestrations.store import clock, processes
from orchestrations.store.models import AuditEntry, Instance, TaskHub
from orchestrations.store.processes import Home, Process
from tests import servers
from tests.bursts import drain, kinds_of, new_worker, status_of
from tests.client.dumps import dump_tables
from tests.runtime.test_fleet import register

ESCAPE = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@orchestrator
def echo_input(context: OrchestrationContext, value: Any) -> Any:
    context.set_custom_status(value)
    return value


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def durable(*arguments: str) -> Done:
    """Run `manage.py durable` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("durable", *arguments, stdout=out, stderr=err)
    code = caught.value.code
    return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def refused(*arguments: str) -> Done:
    """Run it; nothing has changed then but the audit, nothing is printed, and the error is on stderr."""
    before = dump_tables()
    done = durable(*arguments)
    assert {**dump_tables(), "AuditEntry": None} == {**before, "AuditEntry": None}
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    return done


def manage(*arguments: str, stdin: str = "", **changes: str) -> Done:
    """Run `manage.py durable` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", "durable", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=servers.PROJECT,
        env=servers.child_environment(DJANGO_SETTINGS_MODULE="tests.worker_settings", **changes),
        timeout=60,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def live() -> str:
    instance_id = DurableClient().start_new("wait_for", "live", ["never"])
    drain()
    return instance_id


# --- verbs


@pytest.fixture
def living() -> None:
    """A worker that is alive, as far as the database knows."""
    processes.register_worker(Process("w", 2, clock.now()), Home("s", "main.default", ""))


def test_start_prints_the_id(living: None) -> None:
    done = durable("start", "plain")
    assert (done.code, done.err) == (0, "")
    drain()
    assert status_of(done.out.strip()) is Status.COMPLETED


def test_start_takes_input_id_version_and_tags() -> None:
    done = durable(
        *("start", "wait_for", "--input", '["a"]', "--id", "mine", "--version", "1.0"),
        *("--tag", "color=red", "--tag", "empty=", "--tag", "sum=1+1=2", "--json"),
    )
    assert (done.code, done.json) == (0, {"instanceId": "mine"})
    status = DurableClient().get_status("mine", show_input=True)
    assert (status.input_, status.version) == (["a"], "1.0")
    assert status.tags == {"color": "red", "empty": "", "sum": "1+1=2"}


def test_start_reads_input_from_a_file_and_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "input.json").write_text('{"Größe": 1}', encoding="utf-8")
    assert durable("start", "plain", "--id", "a", "--input", f"@{tmp_path / 'input.json'}").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("[2]"))
    assert durable("start", "plain", "--id", "b", "--input", "-").code == 0
    client = DurableClient()
    assert client.get_status("a", show_input=True).input_ == {"Größe": 1}
    assert client.get_status("b", show_input=True).input_ == [2]


def test_start_takes_many_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inputs").write_text('{"Größe": 1}\n\n"a\\u2028b"\n[3]', encoding="utf-8")
    done = durable("start", "plain", "--inputs", f"@{tmp_path / 'inputs'}", "--id", "n", "--tag", "color=red")
    assert (done.code, done.out) == (0, "n-1\nn-2\nn-3\n")
    found = [DurableClient().get_status(f"n-{n}", show_input=True) for n in (1, 2, 3)]
    assert [one.input_ for one in found] == [{"Größe": 1}, "a\u2028b", [3]]
    assert all(one.tags == {"color": "red"} for one in found)
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n" * 1001))
    assert len(durable("start", "plain", "--inputs", "-", "--json").json["instanceIds"]) == 1001
    assert AuditEntry.objects.filter(action="start", result="done").count() == 1004


def test_many_inputs_of_which_one_is_refused_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, more, words in (
        ("1\n\n{", (), "The input in line 3 is not valid JSON"),
        ("1\n" * 1000 + "NaN", (), "The input in line 1001 holds NaN"),
        ("1\n" + "[" * 100_000, (), "line 2"),
        ("1", ("--wait",), "goes with neither"),
        ("1", ("--input", "1"), "goes with neither"),
        ("1\n2", ("--id", "x" * 300), "instance ID"),
    ):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        done = durable("start", "plain", "--inputs", "-", *more)
        assert done.code == 2
        assert words in done.err
    assert not Instance.objects.exists()


def test_what_was_started_before_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    DurableClient().start_new("plain", "n-1001")
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n" * 1001))
    done = durable("start", "plain", "--inputs", "-", "--id", "n", "--json", "--if-exists", "error")
    assert (done.code, len(done.json["instanceIds"])) == (4, 1000)


def test_raise_event_takes_many_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["a b", "b", "c"]
    DurableClient().start_many([StartRequest("wait_for", i, ["go"]) for i in ids])
    send = ("raise-event", "-", "go", "--data", "7", "--event-id", "x")
    monkeypatch.setattr(sys, "stdin", io.StringIO("a b\r\n\nc\n"))
    assert durable(*send).out == "Event 'go' accepted by 2 instances.\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(ids)))
    assert durable(*send).out == "Event 'go' accepted by 1 instance, and by 2 before.\n"
    drain()
    assert {str(DurableClient().get_status(i).output) for i in ids} == {"[7]"}
    assert AuditEntry.objects.filter(action="raise-event", result="done").count() == 3


def test_events_of_which_one_is_refused_are_not_accepted_and_earlier_ones_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = DurableClient().start_many([StartRequest("wait_for", client_input=["go"]) for _ in range(1001)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*ids, "nobody"])))
    done = durable("raise-event", "-", "go", "--json")
    assert (done.code, done.json) == (3, {"accepted": 1000, "acceptedBefore": 0})
    assert AuditEntry.objects.filter(action="raise-event", result="refused").count() == 1
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert "no id on standard input" in durable("raise-event", "-", "go").err


def test_status_shows_one_instance(live: str) -> None:
    done = durable("status", live)
    assert done.code == 0
    for words in ("wait_for", "Running", "event never", '["never"]'):
        assert words in done.out
    found = durable("status", live, "--json").json
    assert (found["instance_id"], found["status"], found["input_json"]) == ("live", "Running", '["never"]')
    assert found["waiting"][0]["name"] == "never"


def test_status_counts_what_it_does_not_show_of_the_waits() -> None:
    instance_id = DurableClient().start_new("two_of_two")
    drain(until=lambda: status_of(instance_id) is Status.RUNNING)
    out = durable("status", instance_id).out
    assert "event Approval; event approval; timer; " in out
    assert "; 7 more" in out


def test_status_shows_why_an_instance_failed() -> None:
    instance_id = DurableClient().start_new("let_it_fail")
    drain()
    assert "builtins.ValueError" in durable("status", instance_id).out
    assert "card declined" in durable("status", instance_id).out


def test_list_filters_and_continues() -> None:
    for number in range(5):
        DurableClient().start_new("plain", f"p{number}")
    DurableClient().start_new("wait_for", "other", ["a"])
    drain()
    done = durable("list", "--status", "completed", "--limit", "3")
    assert done.code == 0
    assert [line.split()[2] for line in done.out.splitlines()] == ["ID", "p4", "p3", "p2"]
    token = done.err.removeprefix("more: --token ").strip()
    rest = durable("list", "--status", "completed", "--limit", "3", "--token", token)
    assert [line.split()[2] for line in rest.out.splitlines()] == ["ID", "p1", "p0"]
    assert rest.err == ""
    found = durable("list", "--name", "wait", "--json").json
    assert ([row["instance_id"] for row in found["instances"]], found["token"]) == (["other"], "")
    assert len(durable("list", "--id", "p", "--json").json["instances"]) == 5
    assert durable("list", "--blocked", "--json").json["instances"] == []


def test_an_empty_list_is_a_table_without_rows() -> None:
    assert durable("list").out.split()[:3] == ["STATUS", "NAME", "ID"]


def test_history_shows_the_events_of_durable_functions() -> None:
    instance_id = DurableClient().start_new("E1_HelloSequence")
    drain()
    done = durable("history", instance_id)
    assert [line.split()[2] for line in done.out.splitlines()[1:]] == kinds_of(instance_id)
    assert '"Hello Tokyo!"' in done.out
    assert [m["EventType"] for m in durable("history", instance_id, "--json").json] == kinds_of(instance_id)


def test_raise_event_delivers_and_says_if_it_did_before(live: str) -> None:
    done = durable("raise-event", live, "never", "--data", '{"a":1}', "--event-id", "x")
    assert (done.code, done.out) == (0, "Event 'never' for 'live' accepted.\n")
    assert "was accepted before" in durable("raise-event", live, "never", "--event-id", "x").out
    assert durable("raise-event", live, "never", "--event-id", "x", "--json").json["accepted"] is False
    drain()
    assert DurableClient().get_status(live).output == [{"a": 1}]


def test_an_event_that_the_instance_does_not_wait_for_is_accepted_with_a_warning(live: str, living: None) -> None:
    drain()
    done = durable("raise-event", live, "nevr")
    assert (done.code, done.err) == (
        0,
        "warning: 'live' waits for 'never'; this event stays until it waits for it.\n",
    )
    assert durable("raise-event", live, "NEVER").err == ""


def test_suspend_resume_and_terminate_do_so_and_say_if_there_was_nothing_to_do(live: str) -> None:
    assert durable("suspend", live, "--reason", "holiday").out == "'live' is being suspended.\n"
    drain()
    assert "Nothing to do" in durable("suspend", live).out
    assert "holiday" in durable("status", live).out
    assert durable("suspend", live, "--json").json == {"instanceId": "live", "changed": False}
    assert durable("resume", live).code == 0
    drain()
    assert status_of(live) is Status.RUNNING
    assert durable("terminate", live, "--reason", "enough", "--json").json["changed"] is True
    drain()
    assert DurableClient().get_status(live).output == "enough"


def test_what_changes_something_is_in_the_audit_under_the_name_of_the_systems_user(live: str) -> None:
    durable("start", "plain", "--id", "mine")
    durable("suspend", live, "--reason", "holiday")
    drain()
    durable("suspend", live)
    durable("resume", live)
    durable("raise-event", live, "Approval", "--data", "true", "--event-id", "x")
    durable("terminate", live, "--reason", "enough")
    drain()
    assert durable("terminate", live).code == 4
    assert durable("suspend", live, "--hub", "nowhere").code != 0
    rows = AuditEntry.objects.filter(actor=f"{getpass.getuser()} (command line)").order_by("id")
    assert [(row.action, row.instance_id, row.reason, row.result) for row in rows] == [
        ("start", "mine", "", "done"),
        ("suspend", "live", "holiday", "done"),
        ("resume", "live", "", "done"),
        ("raise-event", "live", "", "done"),
        ("terminate", "live", "enough", "done"),
        ("terminate", "live", "", "refused"),
    ]
    assert not TaskHub.objects.filter(name="nowhere").exists()


def test_terminate_alone_leaves_the_children() -> None:
    client = DurableClient()
    parent = client.start_new("parent", client_input=["a"])
    drain()
    assert durable("terminate", parent, "--alone").code == 0
    drain()
    assert {row["status"] for row in durable("list", "--json").json["instances"]} == {"Terminated", "Running"}


# --- waiting


def test_what_is_accepted_where_no_worker_runs_says_that_it_waits() -> None:
    warning = "warning: No worker runs here. It waits until one does: 'make run' or 'manage.py durable_worker'.\n"
    done = durable("start", "wait_for", "--id", "mine", "--input", '["go"]')
    assert (done.code, done.out, done.err) == (0, "mine\n", warning)
    assert durable("raise-event", "mine", "go").err == warning
    assert durable("list").err == ""


@pytest.fixture
def working(living: None) -> Any:
    """A worker beside the command."""
    is_over = threading.Event()

    def work() -> None:
        worker = new_worker()
        while not is_over.wait(0.02):
            drain(worker)
        worker.close()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    is_over.set()
    thread.join()


def test_start_and_wait_prints_the_output_and_nothing_else(working: None) -> None:
    done = durable("start", "E1_HelloSequence", "--wait", "--timeout", "30")
    assert done == (0, '["Hello Tokyo!", "Hello Seattle!"]\n', "")


def test_start_and_wait_for_a_failure_exits_with_1_and_its_reason(working: None) -> None:
    done = durable("start", "let_it_fail", "--wait", "--timeout", "30")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "is Failed" in done.err
    assert "card declined" in done.err
    found = durable("start", "let_it_fail", "--wait", "--json")
    assert (found.code, found.json["runtimeStatus"]) == (1, "Failed")


def test_waiting_ends_at_its_timeout_and_says_how_to_go_on(living: None) -> None:
    done = durable("start", "plain", "--id", "slow", "--wait", "--timeout", "0.05")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: 'slow' has not ended after 0.05 s.\nhint: It goes on; ask with 'durable status'.\n"
    assert status_of("slow") is Status.PENDING


def test_what_is_stuck_says_so_and_why_wherever_it_is_shown(monkeypatch: pytest.MonkeyPatch, working: None) -> None:
    monkeypatch.setattr("orchestrations.management.verbs.start.PROGRESS_SECONDS", 0.5)
    register("knowing")
    done = durable("start", "call", "--input", '"ecko"', "--id", "typo", "--wait", "--timeout", "3")
    why = "Activity 'ecko' is not registered on any live worker of the queue 'main.default'"
    assert done.code == 1
    assert done.err.count("warning: 'typo' is stuck: ") == 1
    assert why in done.err
    assert "hint: Mend what it is stuck on, or terminate it." in done.err
    assert "Running (stuck)" in durable("list").out
    assert why in durable("list", "--blocked").out


def test_progress_is_shown_while_waiting_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("orchestrations.management.verbs.start.PROGRESS_SECONDS", 0.05)
    assert "\rPending 0 s\nerror: " in durable("start", "plain", "--wait", "--timeout", "0.2").err
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert "Pending" not in durable("start", "plain", "--wait", "--timeout", "0.2").err


# --- errors


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("start", "E1_HelloSequenc"), output.NOT_FOUND, "Did you mean 'E1_HelloSequence'"),
        (("start", "plain", "--input", "{"), output.USAGE, "line 1 column 2"),
        (("start", "plain", "--input", '{"a":1,"a":2}'), output.USAGE, "'a' twice"),
        (("start", "plain", "--input", "NaN"), output.USAGE, "NaN"),
        (("start", "plain", "--input", "@/nowhere/at/all"), output.USAGE, "/nowhere/at/all"),
        (("start", "plain", "--input", "@/"), output.USAGE, "Cannot read '/'"),
        (("start", "plain", "--id", "a/b"), output.USAGE, "'/'"),
        (("start", "plain", "--tag", "novalue"), output.USAGE, "NAME=VALUE"),
        (("start", "plain", "--tag", "bad=\udcff"), output.USAGE, "tags"),
        (("start", "plain", "--wait", "--timeout", "nan"), output.USAGE, "0 seconds or more"),
        (("start", "plain", "--if-exists", "perhaps"), output.USAGE, "replace_terminal"),
        (("start", "plain", "--hub", "no hub"), output.USAGE, "letters and digits"),
        (("start", "wait_for", "--id", "live"), output.CONFLICT, "already exists and is Running"),
        (("status", "nobody"), output.NOT_FOUND, "No instance with ID 'nobody' found"),
        (("history", "nobody"), output.NOT_FOUND, "nobody"),
        (("raise-event", "nobody", "e"), output.NOT_FOUND, "nobody"),
        (("raise-event", "live", "e", "--data", "[1,"), output.USAGE, "The event's data is not valid JSON"),
        (("raise-event", "live", ""), output.USAGE, "1 to 256 characters"),
        (("raise-event", "live", "e", "--event-id", "x" * 101), output.USAGE, "100 characters"),
        (("raise-event", "ended", "e"), output.CONFLICT, "takes no event"),
        (("terminate", "nobody"), output.NOT_FOUND, "nobody"),
        (("terminate", "ended"), output.CONFLICT, "is Completed since"),
        (("suspend", "ended"), output.CONFLICT, "takes no suspension"),
        (("resume", "ended"), output.CONFLICT, "takes no resumption"),
        (("list", "--status", "asleep"), output.USAGE, "Choose from Pending"),
        (("list", "--limit", "0"), output.USAGE, "1 or more"),
        (("list", "--token", "forged"), output.USAGE, "Start again without it"),
        (("status", "live", "--hub", "another"), output.NOT_FOUND, "live"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode()[:40] if isinstance(value, tuple) else "",
)
def test_what_is_refused_exits_with_its_code_and_says_why(
    live: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    if "ended" in arguments:
        DurableClient().start_new("plain", "ended")
        drain()
    done = refused(*arguments)
    assert (done.code, words in done.err) == (code, True), done.err


def test_standard_input_that_is_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert refused("start", "plain", "--input", "-").code == output.USAGE


@pytest.mark.parametrize(
    "arguments", [("strat", "plain"), ("start",), ("list", "--limit", "many"), ("raise-event", "x"), ()]
)
def test_what_is_no_command_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("durable", *arguments)


def test_a_token_of_another_filter_is_refused() -> None:
    for _ in range(3):
        DurableClient().start_new("plain")
    token = durable("list", "--limit", "1", "--json").json["token"]
    assert refused("list", "--limit", "1", "--name", "p", "--token", token).code == output.USAGE


# --- as processes


def test_the_process_exits_with_2_for_usage_3_for_not_found_4_for_conflict_and_6_without_a_database(
    live: str, tmp_path: Path
) -> None:
    unknown = manage("strat", "plain")
    assert unknown.code == 2
    assert "usage: manage.py durable" in unknown.err
    assert "'strat'" in unknown.err
    assert "'start'" in unknown.err
    assert manage("status", "nobody").code == 3
    conflict = manage("start", "wait_for", "--id", live)
    assert (conflict.code, conflict.out) == (4, "")
    away = manage("list", DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert (away.code, away.out) == (6, "")
    assert "hint: " in away.err
    assert "migrate" in away.err
    assert "Traceback" not in away.err


def test_the_process_starts_an_instance_from_standard_input_without_redis(redis_server: servers.RedisServer) -> None:
    redis_server.stop()
    done = manage("start", "plain", "--id", "piped", "--input", "-", stdin='{"a": "ä"}')
    assert (done.code, done.out) == (0, "piped\n"), done.err
    assert DurableClient().get_status("piped", show_input=True).input_ == {"a": "ä"}


def test_a_closed_pipe_is_no_error(live: str) -> None:
    command = f"{sys.executable} manage.py durable list; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"({command}) | true"],
        capture_output=True,
        text=True,
        check=False,
        cwd=servers.PROJECT,
        env=servers.child_environment(DJANGO_SETTINGS_MODULE="tests.worker_settings"),
        timeout=60,
    )
    assert done.stderr.strip() == "0"


# --- nothing that a terminal would obey


@pytest.fixture
def hostile() -> str:
    client = DurableClient()
    instance_id = client.start_new("echo_input", client_input=ESCAPE, tags={"t": ESCAPE})
    client.raise_event(instance_id, "e", ESCAPE)
    drain()
    assert client.get_status(instance_id).output == ESCAPE
    return instance_id


def every_output(instance_id: str) -> dict[str, Callable[[], Done]]:
    verbs: dict[str, tuple[str, ...]] = {
        "status": ("status", instance_id),
        "list": ("list",),
        "history": ("history", instance_id),
        "status --json": ("status", instance_id, "--json"),
        "list --json": ("list", "--json"),
        "history --json": ("history", instance_id, "--json"),
        "error": ("status", ESCAPE),
        "near": ("start", ESCAPE),
    }
    return {name: lambda arguments=arguments: durable(*arguments) for name, arguments in verbs.items()}  # type: ignore[misc]


def test_no_output_holds_what_a_terminal_would_obey(hostile: str) -> None:
    for name, run in every_output(hostile).items():
        done = run()
        assert not CONTROL.search(done.out + done.err), (name, done)


def test_json_for_scripts_gives_back_exactly_what_was_stored(hostile: str) -> None:
    assert json.loads(durable("status", hostile, "--json").json["output_json"]) == ESCAPE


def test_the_output_of_a_wait_holds_nothing_that_a_terminal_would_obey(working: None) -> None:
    done = durable("start", "echo_input", "--input", json.dumps(ESCAPE), "--wait", "--timeout", "30")
    assert not CONTROL.search(done.out + done.err)
    assert json.loads(done.out) == ESCAPE
