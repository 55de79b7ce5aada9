"""opencode itself in front of the demo agent: what its `X-Session-Id` does to a conversation, step by step.

It sends the header with every request, the title's too, and always the whole conversation. `scripts/clients` runs this.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from tests.clients.recipes import Place, Recipe
from tests.support.paths import ROOT
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(900)

HOME = ROOT / ".clients" / "opencode"
RECIPE = Recipe(("npm", "install", "opencode-ai"), "", "")
QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
}
"""It calls nobody else."""
PATIENCE = 120.0
"""Seconds for one question: it takes some to start."""
LINE = re.compile(r"model=(\S+) session=(\S+) .*?outcome=(\S+)")


class Run(NamedTuple):
    """The proxy's log line of one request."""

    model: str
    session: str
    outcome: str


@dataclass
class OpenCode:
    """One conversation, asked from the command line turn by turn."""

    program: str
    base: str
    work: Path
    proxy: Child
    seen: int = field(default=0)
    """Runs of the turns before."""

    def ask(self, *arguments: str) -> str:
        """What it prints."""
        done = subprocess.run(
            [self.program, "run", *arguments],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.work), "OPENCODE_CONFIG": str(self.work / "opencode.json"), **QUIET}

    @property
    def runs(self) -> list[Run]:
        return [Run(*found) for found in LINE.findall(self.proxy.output)]

    def until_it_runs(self) -> None:
        """Returns when a silent run goes on; the title's run is not silent."""
        deadline, calm = time.monotonic() + PATIENCE, 0
        while calm < 10 and time.monotonic() < deadline:
            calm = calm + 1 if gauge(self.base, "oaicompat_runs_running") == 1 else 0
            time.sleep(0.1)
        assert calm

    def new_runs(self, count: int) -> list[Run]:
        """Those since this was last asked, once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while len(self.runs) < self.seen + count and time.monotonic() < deadline:
            time.sleep(0.05)
        new, self.seen = self.runs[self.seen :], len(self.runs)
        assert len(new) == count, new
        return new


def gauge(base: str, name: str) -> float:
    """What `/metrics` says."""
    with urlopen(f"{base}/metrics") as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.fixture(scope="module")
def program() -> str:
    """The binary that npm has put there: its own launcher waits for a script that npm may not run."""
    Place(HOME, RECIPE).install()
    (path,) = [path for path in HOME.glob("node_modules/opencode-*/bin/opencode") if "baseline" not in str(path)]
    return str(path)


@pytest.fixture
def opencode(program: str, tmp_path: Path) -> Iterator[OpenCode]:
    """In a directory outside of this repository: it would read what it finds in one."""
    work = tmp_path
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", "--port", "0")) as proxy:
        base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        ours = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": f"{base}/v1", "apiKey": "any"},
            "models": {"demo": {"name": "demo"}, "echo": {"name": "echo"}},
        }
        settings = {"provider": {"ours": ours}, "model": "ours/demo", "small_model": "ours/demo", "share": "disabled"}
        (work / "opencode.json").write_text(json.dumps(settings))
        yield OpenCode(program, base, work, proxy)


def test_a_conversation_with_opencode(opencode: OpenCode) -> None:
    assert "When is high tide?" in opencode.ask("When is high tide?")
    title, answer = sorted(opencode.new_runs(2), key=lambda run: run.session)
    assert title.session != answer.session, "the title is no part of the conversation"
    assert {title.outcome, answer.outcome} == {"success"}

    opencode.ask("-c", "And low tide?")
    (second,) = opencode.new_runs(1)
    assert second.session in (title.session, answer.session), "only what is new goes out"

    switched = opencode.ask("-c", "-m", "ours/echo", "Which port?")
    (other,) = opencode.new_runs(1)
    assert other.session != second.session
    for question in ("When is high tide?", "And low tide?", "Which port?"):
        assert question in switched, "another model gets the whole conversation"

    opencode.ask("-c", "Thanks.")
    (back,) = opencode.new_runs(1)
    assert back.session != second.session, "the first model has not heard what the other one said"


def test_a_fork_in_opencode(opencode: OpenCode) -> None:
    opencode.ask("-m", "ours/echo", "When is high tide?")
    opencode.new_runs(2)
    forked = opencode.ask("-c", "--fork", "-m", "ours/echo", "And low tide?")
    assert "When is high tide?" in forked
    opencode.new_runs(1)


def test_plan_and_build_in_opencode(opencode: OpenCode) -> None:
    """Each has a system prompt or reminders of its own, so each gets the whole conversation."""
    opencode.ask("--agent", "plan", "-m", "ours/echo", "Plan a test.")
    opencode.new_runs(2)
    built = opencode.ask("-c", "--agent", "build", "-m", "ours/echo", "Build it.")
    assert "Plan a test." in built
    assert "Build it." in built
    opencode.new_runs(1)


@pytest.mark.parametrize("later", [False, True])
def test_esc_in_opencode_stops_the_run(opencode: OpenCode, later: bool) -> None:
    """At the first turn of a conversation, and in one that goes on."""
    if later:
        opencode.ask("When is high tide?")
        opencode.new_runs(2)
    arguments = [opencode.program, "run", *(["-c"] if later else []), "[[scenario:silent]]"]
    before = len(opencode.runs)
    with stopping(Child(*arguments, cwd=opencode.work, env=opencode.environment)) as asked:
        opencode.until_it_runs()
        asked.signal(signal.SIGINT)
        deadline = time.monotonic() + 20
        while len(opencode.runs) < before + 1 and time.monotonic() < deadline:
            time.sleep(0.05)
    left = [run for run in opencode.runs[before:] if run.outcome != "success"]
    assert [run.outcome for run in left] == ["client_gone"]
    opencode.seen = len(opencode.runs)
    answer = opencode.ask("-c", "-m", "ours/echo", "Rather this.")
    assert "Rather this." in answer
    assert ("When is high tide?" in answer) is later
