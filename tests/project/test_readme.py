"""What README shows of one's own functions was run: here, word for word, in a copy that `make run` has started."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.project.test_watch import wait_for

README = servers.PROJECT / "README.md"
TITLE = "## Your own functions, in five steps"
FENCED = re.compile(r"^```(python|sh)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"`(~/\w+\.py)`")

WORKERS = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not servers.is_first_variant(), reason="a copy has a home and a database of its own"),
]


@dataclass(frozen=True)
class Snippet:
    """A block of the section, and the last file that the text before it has named."""

    language: str
    text: str
    file: str


def snippets() -> list[Snippet]:
    section = README.read_text().partition(f"{TITLE}\n")[2].partition("\n## ")[0]
    found = []
    for block in FENCED.finditer(section):
        found.append(Snippet(block[1], block[2], FILE.findall(section[: block.start()])[-1]))
    return found


class Reader:
    """Somebody who does what README says, in a home of his own and from the checkout."""

    def __init__(self, home: Path) -> None:
        self.home, self.log = home, home / "make.log"
        self.values = {"PATH": os.environ["PATH"], "HOME": str(home), "DURABLE_HOME": str(home / "durable")}
        self.values |= {"PORT": str(servers.free_port()), "DURABLE_SAMPLES": "0"}
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, snippet: Snippet) -> None:
        """Append to the file, and wait until what runs is started again if it is one of those that run."""
        file = Path(snippet.file.replace("~", str(self.home)))
        with file.open("a") as opened:
            opened.write(f"\n\n{snippet.text}")
        if self.process is not None and "@orchestrator" in snippet.text:
            wait_for(lambda: self.log.read_text().count("worker.started") == 2 * WORKERS, 60)

    def make(self, command: str) -> None:
        """Run it as it stands, in a shell; what `make` sets up is there already."""
        with self.log.open("wb") as output:
            shell = ["bash", "-c", command.replace("make ", "exec make -o setup ", 1)]
            self.process = servers.spawn(
                shell, cwd=servers.PROJECT, env=self.values, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(lambda: "durableweb runs at" in self.log.read_text(), 60)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=servers.PROJECT, env=self.values, capture_output=True, text=True, timeout=90
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.stderr}\n{self.log.read_text()}"
        return done.stdout

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(30)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    found.stop()


def test_the_steps_do_what_readme_says(reader: Reader) -> None:
    shown = 0
    for snippet in snippets():
        if snippet.language == "python":
            reader.write(snippet)
            continue
        lines = snippet.text.splitlines()
        commands = [place for place, line in enumerate(lines) if shlex.split(line)[0] in {"make", ".venv/bin/python"}]
        for place, following in zip(commands, [*commands[1:], len(lines)], strict=True):
            if lines[place].startswith("make"):
                reader.make(lines[place])
                continue
            assert reader.run(lines[place]).splitlines() == lines[place + 1 : following]
            shown += 1
    assert shown == 4
    wait_for(lambda: '"parcel 7"' in reader.run(".venv/bin/python manage.py durable status order-1"))
    assert reader.log.read_text().count("shop.py changed; starting the web server and the workers again") == 1
