"""Start an instance, or one for each of many inputs.

Prints its id; with --wait its output as JSON, and exits with 1 unless it has completed. With --inputs it starts 1,000
in a commit, and prints their ids in order as they are stored.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrations.client import queries
from orchestrations.client.arguments import text_of
from orchestrations.client.client import DurableClient
from orchestrations.client.requests import StartRequest
from orchestrations.client.status import OrchestrationStatus
from orchestrations.engine.state import Status
from orchestrations.management import output
from orchestrations.management.verbs.control import operations

PROGRESS_SECONDS, BATCH = 1.0, 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="the orchestrator")
    parser.add_argument("--input", default=None, help="JSON, @FILE, or - for standard input")
    parser.add_argument("--inputs", default=None, help="@FILE or - with a JSON text in each line: start that many")
    parser.add_argument(
        "--id", default=None, dest="instance_id", help="its id (a new one); of many what precedes -1, -2 …"
    )
    parser.add_argument("--version", default=None, dest="orchestrator_version", help="the orchestrator's version")
    parser.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    parser.add_argument("--if-exists", default="replace_terminal", help="what to do if the id is taken")
    parser.add_argument("--wait", action="store_true", help="wait until it has ended, and print its output")
    parser.add_argument("--timeout", type=float, default=None, metavar="SECONDS", help="how long to wait at most")


def run(options: argparse.Namespace) -> int:
    """Start it, and wait if asked to."""
    if options.timeout is not None and not options.timeout >= 0:
        raise ValueError(f"--timeout must be 0 seconds or more, not {options.timeout:g}.")
    if options.inputs is not None:
        return _start_many(options)
    instance_id = operations(options).start(
        options.name,
        options.instance_id,
        read_json(options.input),
        version=options.orchestrator_version,
        tags=dict(_tag(text) for text in options.tag),
        if_exists=options.if_exists,
    )
    output.warn_if_idle(options.err)
    if not options.wait:
        if options.as_json:
            output.print_json(options.out, {"instanceId": instance_id})
        else:
            options.out.write(f"{instance_id}\n")
        return 0
    status = _wait(DurableClient(options.hub), instance_id, options)
    return _print(status, options) if status is not None else output.OTHER


def _start_many(options: argparse.Namespace) -> int:
    if options.input is not None or options.wait:
        raise ValueError("--inputs goes with neither --input nor --wait: wait for each by 'durable status ID'.")
    requests = list(_requests(options))
    found: list[str] = []
    try:
        for start in range(0, len(requests), BATCH):
            ids = operations(options).start_many(requests[start : start + BATCH], if_exists=options.if_exists)
            found += ids
            if not options.as_json:
                options.out.write("".join(f"{instance_id}\n" for instance_id in ids), ending="")
    finally:  # what is started is told, also where a later one is refused
        if options.as_json:
            output.print_json(options.out, {"instanceIds": found})
    output.warn_if_idle(options.err)
    return 0


def _requests(options: argparse.Namespace) -> Iterator[StartRequest]:
    """Yield what to start; nothing is started if an input is refused."""
    tags, number = dict(_tag(text) for text in options.tag), 0
    for line, text in enumerate((read_json(options.inputs) or "").split("\n"), 1):
        if text.strip():
            number += 1
            name = None if options.instance_id is None else f"{options.instance_id}-{number}"
            text_of(None, text, f"The input in line {line}")
            yield StartRequest(options.name, name, version=options.orchestrator_version, tags=tags, input_json=text)


def read_json(text: str | None) -> str | None:
    """Return JSON text given as an argument, as @FILE or as - for standard input. Raises `ValueError`."""
    if text is None or (text[:1] != "@" and text != "-"):
        return text
    if text == "-":
        if sys.stdin.isatty():
            raise ValueError("'-' reads standard input, which is a terminal: pipe something in.")
        return sys.stdin.read()
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read '{text[1:]}': {error}") from None


def _tag(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--tag must be NAME=VALUE, not '{text}'.")
    return name, value


def _wait(client: DurableClient, instance_id: str, options: argparse.Namespace) -> OrchestrationStatus | None:
    """Wait in steps, saying on a terminal what the instance is doing."""
    with _Progress(options.err) as progress:
        return _wait_in_steps(client, instance_id, options, progress)


def _wait_in_steps(
    client: DurableClient, instance_id: str, options: argparse.Namespace, progress: _Progress
) -> OrchestrationStatus | None:
    began, stuck = time.monotonic(), ""
    while True:
        left = None if options.timeout is None else began + options.timeout - time.monotonic()
        step = PROGRESS_SECONDS if left is None else min(PROGRESS_SECONDS, max(left, 0.0))
        try:
            return client.wait_for_completion(instance_id, step)
        except TimeoutError:
            if left is not None and left <= 0:
                hint = (
                    "Mend what it is stuck on, or terminate it." if stuck else "It goes on; ask with 'durable status'."
                )
                progress.end()
                output.print_error(options.err, f"'{instance_id}' has not ended after {options.timeout:g} s.", hint)
                return None
            found = queries.get_facts(client.hub, instance_id)
            before, stuck = stuck, found.blocked.message if found.blocked else ""
            if stuck not in ("", before):
                progress.end()
                output.print_warning(options.err, f"'{instance_id}' is stuck: {stuck}")
            progress.show(f"{found.status} {int(time.monotonic() - began)} s")


class _Progress:
    """A line on a terminal that is written over and over; what follows begins on a line of its own."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._is_open = stream, False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def show(self, text: str) -> None:
        if sys.stderr.isatty():
            self._stream.write(f"\r{text}", ending="")
            self._stream.flush()
            self._is_open = True

    def end(self) -> None:
        if self._is_open:
            self._stream.write("\n")
            self._is_open = False


def _print(status: OrchestrationStatus, options: argparse.Namespace) -> int:
    is_good = status.runtime_status is Status.COMPLETED
    if options.as_json:
        members = {"instanceId": status.instance_id, "runtimeStatus": status.runtime_status, "output": status.output}
        output.print_json(options.out, members)
    elif is_good:
        options.out.write(output.to_json(status.output) + "\n")
    if not is_good:
        failure = status.failure
        reason = f"{failure.error_type}: {failure.message}" if failure else str(status.output)
        output.print_error(options.err, f"'{status.instance_id}' is {status.runtime_status}: {reason}")
    return 0 if is_good else output.OTHER
