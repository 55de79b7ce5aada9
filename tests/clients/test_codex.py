"""Codex in front of the demo agent: what it shows, and how often it runs the agent for one turn.

Codex repeats most failed requests, whatever `x-should-retry` says, and the proxy recognises the repetitions.
`scripts/clients --all` runs this.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import Child, stopping
from recipes import ADDRESS, Place, read_recipes
from test_clients import FAILED, FLAGS, PLACES, REFUSED, count_runs, greets

pytestmark = pytest.mark.timeout(600)

PATIENCE = 120.0
"""Seconds for one turn."""
NO_GIT = "--skip-git-repo-check"
SESSION = re.compile(r"\bsession=(\S+)")


@dataclass(frozen=True)
class Turn:
    """The events that `codex exec --json` writes."""

    events: list[dict[str, Any]]
    runs: int
    """Of the agent."""

    @property
    def thread(self) -> str:
        (started,) = (event for event in self.events if event["type"] == "thread.started")
        thread: str = started["thread_id"]
        return thread

    @property
    def text(self) -> str:
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return "".join(item["text"] for item in items if item["type"] == "agent_message")

    @property
    def error(self) -> str | None:
        """None for a turn that is completed."""
        last = self.events[-1]
        assert last["type"] in ("turn.completed", "turn.failed")
        return None if last["type"] == "turn.completed" else last["error"]["message"]


@dataclass(frozen=True)
class Codex:
    program: Path
    gateway: str
    work: Path
    proxy: Child

    def ask(self, question: str, *command: str) -> Turn:
        """One turn: of a new conversation, or with a command that resumes one."""
        before = count_runs(self.gateway)
        done = subprocess.run(
            [str(self.program), "exec", *command, "--json", NO_GIT, question],
            cwd=self.work,
            env={**os.environ, "HOME": str(self.work), "AGENT_KEY": "any"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        return Turn(events, count_runs(self.gateway) - before)

    def resume(self, question: str) -> Turn:
        """The next turn of the last conversation."""
        return self.ask(question, "resume", "--last")

    @property
    def sessions(self) -> list[str]:
        """The agent's session of each run, from the proxy's log."""
        return SESSION.findall(self.proxy.said)


StartCodex = Callable[..., AbstractContextManager[Codex]]


@pytest.fixture(scope="module")
def place() -> Place:
    place = Place(PLACES / "codex", read_recipes("coding agent")["Codex"])
    place.install()
    return place


@pytest.fixture
def start(place: Place, tmp_path: Path) -> StartCodex:
    """Starts a proxy with these flags, and configures Codex as the recipe does."""
    (program,) = place.home.glob("node_modules/@openai/codex-*/vendor/*/bin/codex")

    @contextmanager
    def start(*flags: str) -> Iterator[Codex]:
        with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", *FLAGS, *flags)) as proxy:
            base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
            gateway = proxy.wait_for(r"fronts +(http://127\.0\.0\.1:\d+)")[1]
            configure, _, _ = place.recipe.program.replace(ADDRESS, base).rpartition("AGENT_KEY=")
            subprocess.run(["bash", "-c", configure], env={**os.environ, "HOME": str(tmp_path)}, check=True)
            yield Codex(program, gateway, tmp_path, proxy)

    return start


@pytest.fixture
def codex(start: StartCodex) -> Iterator[Codex]:
    with start() as codex:
        yield codex


def test_an_answer(codex: Codex) -> None:
    turn = codex.ask("Hello")
    assert turn.error is None
    assert greets(turn.text)
    assert turn.runs == 1


def test_a_tool_that_the_agent_runs_is_not_answered(codex: Codex) -> None:
    turn = codex.ask("Add 19 and 23")
    assert turn.error is None
    assert turn.text.endswith("The sum of 19 and 23 is 42.")
    assert turn.runs == 1


def test_an_error_in_the_stream(codex: Codex) -> None:
    turn = codex.ask("[[scenario:fail]]")
    assert FAILED in (turn.error or "")
    assert turn.runs == 1


def test_an_http_error(codex: Codex) -> None:
    """Codex sends the request thirty times."""
    turn = codex.ask("[[scenario:fail_start]]")
    assert REFUSED in (turn.error or "")
    assert turn.runs == 1


def test_a_run_whose_connection_breaks(codex: Codex) -> None:
    turn = codex.ask("[[scenario:cut]]")
    assert turn.error
    assert turn.runs == 1


def test_an_answer_that_was_cut(codex: Codex) -> None:
    turn = codex.ask("[[scenario:max_tokens]]")
    assert turn.text == "This is cut of"
    assert "max_output_tokens" in (turn.error or "")
    assert turn.runs == 1


def test_two_turns_in_one_session(start: StartCodex) -> None:
    with start("--sessions", "recognise") as codex:
        first = codex.ask("Add 19 and 23")
        second = codex.resume("Hello")
        assert greets(second.text)
        assert second.thread == first.thread
        assert (first.runs, second.runs) == (1, 1)
        codex.proxy.wait_for(r"(?s)\bsession=.*\bsession=")
        assert len(codex.sessions) == 2
        assert len(set(codex.sessions)) == 1
