"""Claude Code in front of the demo agent: what it shows, and how often it runs the agent for one turn.

Claude Code repeats most failed requests without a count, and a failed stream once more without `stream`; the proxy
recognises the repetitions. `scripts/clients --all` runs this.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from oaicompat_proxy.demo import texts
from tests.clients.recipes import Place, read_recipes
from tests.clients.test_clients import FAILED, FLAGS, PLACES, REFUSED, count_runs, greets
from tests.clients.test_codex import breaking
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(600)

PATIENCE = 120.0
"""Seconds for one turn."""
SESSION = re.compile(r"\bsession=(\S+)")
ALONE = dict.fromkeys(
    (
        *("DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    ),
    "1",
)
"""Claude Code sends requests only to the proxy."""


@dataclass(frozen=True)
class Turn:
    """The lines that `claude -p --output-format stream-json` writes."""

    lines: list[dict[str, Any]]
    runs: int
    """Number of the agent's runs."""

    @property
    def blocks(self) -> list[dict[str, Any]]:
        return [block for line in self.lines if line["type"] == "assistant" for block in line["message"]["content"]]

    @property
    def result(self) -> dict[str, Any]:
        assert self.lines[-1]["type"] == "result"
        return self.lines[-1]

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def error(self) -> str | None:
        """None for a turn that is completed."""
        return str(self.result["result"]) if self.result["is_error"] else None


@dataclass(frozen=True)
class ClaudeCode:
    program: Path
    base: str
    gateway: str
    work: Path
    proxy: Child

    def ask(self, question: str, *command: str, **environment: str) -> Turn:
        """One turn: of a new conversation, or with a command that continues one."""
        before = count_runs(self.gateway)
        process = self._start(question, *command, **environment)
        output, complaints = process.communicate(timeout=PATIENCE)
        lines = [json.loads(line) for line in output.splitlines()]
        assert lines, complaints
        return Turn(lines, count_runs(self.gateway) - before)

    def stop(self, question: str, mark: str) -> int:
        """Stops a turn as soon as `mark` is shown; returns the runs."""
        before = count_runs(self.gateway)
        with self._start(question, "--include-partial-messages") as process:
            assert process.stdout is not None
            output = ""
            while mark not in output:
                output += process.stdout.readline()
            process.send_signal(signal.SIGINT)
        return count_runs(self.gateway) - before

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Another client's run has begun, a slow one."""
        body = {
            "model": "demo",
            "max_tokens": 1000,
            "stream": True,
            "messages": [{"role": "user", "content": "[[scenario:slow]]"}],
        }
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.base}/v1/messages", json.dumps(body).encode(), headers)) as answer:
            assert b"message_start" in answer.readline()
            yield

    def answers(self, status: int) -> int:
        """How many requests were answered with this status so far."""
        return len(re.findall(rf"\bstatus={status}\b", self.proxy.output))

    @property
    def sessions(self) -> list[str]:
        """The agent's session of each run, from the proxy's log."""
        return SESSION.findall(self.proxy.output)

    def _start(self, question: str, *command: str, **environment: str) -> subprocess.Popen[str]:
        home = {"HOME": str(self.work), "PATH": os.environ["PATH"]}
        model = {"ANTHROPIC_BASE_URL": self.base, "ANTHROPIC_API_KEY": "any", "ANTHROPIC_MODEL": "demo"}
        return subprocess.Popen(
            [str(self.program), "-p", "--output-format", "stream-json", "--verbose", *command, question],
            cwd=self.work,
            env={**home, **model, **ALONE, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


StartClaudeCode = Callable[..., AbstractContextManager[ClaudeCode]]


@pytest.fixture(scope="module")
def place() -> Place:
    place = Place(PLACES / "claude-code", read_recipes("coding agent")["Claude Code"])
    place.install()
    return place


@pytest.fixture
def start(place: Place, tmp_path: Path) -> StartClaudeCode:
    """Starts a proxy with these flags. The first `breaks` connections break behind the first `break_behind` of an
    answer.
    """
    (program,) = place.home.glob("node_modules/@anthropic-ai/claude-code-*/claude")

    @contextmanager
    def start(*flags: str, break_behind: bytes = b"", breaks: int = 2) -> Iterator[ClaudeCode]:
        with ExitStack() as stack:
            child = Child(sys.executable, "-m", "oaicompat_proxy", "--demo", *FLAGS, *flags)
            proxy = stack.enter_context(stopping(child))
            base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
            gateway = proxy.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1]
            if break_behind:
                base = stack.enter_context(breaking(base, break_behind, times=breaks))
            yield ClaudeCode(program, base, gateway, tmp_path, proxy)

    return start


@pytest.fixture
def claude_code(start: StartClaudeCode) -> Iterator[ClaudeCode]:
    with start() as claude_code:
        yield claude_code


def test_an_answer(claude_code: ClaudeCode) -> None:
    turn = claude_code.ask("Hello")
    assert turn.error is None
    assert greets(turn.text)
    assert turn.runs == 1


def test_a_tool_that_the_agent_runs_is_shown_and_not_run_again(claude_code: ClaudeCode) -> None:
    turn = claude_code.ask("Add 19 and 23")
    assert turn.error is None
    assert turn.text.endswith("The sum of 19 and 23 is 42.")
    kinds = [block["type"] for block in turn.blocks]
    assert kinds == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert turn.runs == 1


def test_a_tool_that_claude_code_runs(claude_code: ClaudeCode) -> None:
    """Two requests of one turn, of which the second is no repetition."""
    turn = claude_code.ask("[[scenario:client_tool]] Read")
    assert turn.error is None
    assert [block["name"] for block in turn.blocks if block["type"] == "tool_use"] == ["Read"]
    assert texts.result("…").partition("…")[0] in turn.text
    assert turn.runs == 2


@pytest.mark.parametrize(("scenario", "message"), [("fail", FAILED), ("fail_start", REFUSED), ("cut", "")])
def test_a_failed_run(claude_code: ClaudeCode, scenario: str, message: str) -> None:
    """In mid-stream, before it, and by a connection that breaks: Claude Code asks again."""
    turn = claude_code.ask(f"[[scenario:{scenario}]]")
    assert message in (turn.error or "")
    assert turn.error
    assert turn.runs == 1


@pytest.mark.parametrize("mark", [b"HTTP/1.1 200", b"event: content_block_start", b"text_delta"])
def test_a_broken_connection(start: StartClaudeCode, mark: bytes) -> None:
    """Claude Code sends the request again, the third time without `stream`. Behind the last block of an answer it asks
    in other words, which is another turn.
    """
    with start(break_behind=mark) as claude_code:
        turn = claude_code.ask("Hello")
        assert turn.error is None
        assert greets(turn.text)
        assert turn.runs == 1, claude_code.proxy.output


def test_white_space_in_front_of_a_whole_answer(start: StartClaudeCode) -> None:
    """The third request is the one without `stream`; its answer takes seconds, and keep-alives come before it."""
    with start("--json-keep-alive", "0.2", break_behind=b"HTTP/1.1 200") as claude_code:
        turn = claude_code.ask("[[scenario:slow]]")
        assert turn.error is None
        assert texts.SLOW in turn.text
        assert turn.runs == 1


def test_a_turn_that_is_stopped(claude_code: ClaudeCode) -> None:
    assert claude_code.stop("[[scenario:slow]]", "I am") == 1


ONCE = {"CLAUDE_CODE_MAX_RETRIES": "0"}


def test_a_wrong_key(start: StartClaudeCode) -> None:
    """Claude Code by itself asks eleven times."""
    with start("--api-key", "right") as claude_code:
        turn = claude_code.ask("Hello", ANTHROPIC_API_KEY="wrong")
        assert "401" in (turn.error or "")
        assert (turn.runs, claude_code.answers(401)) == (0, 1)


def test_a_limit_of_requests(start: StartClaudeCode) -> None:
    with start("--api-key", "any", "--requests-per-minute", "1") as claude_code:
        assert claude_code.ask("Hello").error is None
        turn = claude_code.ask("Hello again", **ONCE)
        assert "429" in (turn.error or "")
        assert (turn.runs, claude_code.answers(429)) == (0, 1)


def test_an_answer_that_is_not_kept(start: StartClaudeCode) -> None:
    """Claude Code asks again behind a broken connection. The answer was too long to keep: the agent runs once."""
    with start("--max-idempotent-answer", "100", break_behind=b"text_delta", breaks=1) as claude_code:
        turn = claude_code.ask("Hello")
        assert "409" in (turn.error or "")
        assert turn.runs == 1


def test_a_turn_that_has_to_wait_for_another_run(start: StartClaudeCode) -> None:
    """Claude Code asks until there is room, and the agent runs once."""
    with start("--max-runs", "1", "--max-waiting", "0") as claude_code:
        with claude_code.occupied():
            turn = claude_code.ask("Hello")
        assert turn.error is None
        assert greets(turn.text)
        assert turn.runs == 1
        assert claude_code.answers(529) > 0


def test_a_proxy_that_stays_overloaded(start: StartClaudeCode) -> None:
    with start("--max-runs", "1", "--max-waiting", "0") as claude_code, claude_code.occupied():
        turn = claude_code.ask("Hello", **ONCE)
        assert "529" in (turn.error or "")
        assert turn.runs == 0


def test_two_turns_in_one_session(claude_code: ClaudeCode) -> None:
    """Without a setting: the name of Claude Code's session is that of the agent's."""
    first = claude_code.ask("Add 19 and 23")
    second = claude_code.ask("Hello", "--continue")
    assert greets(second.text)
    assert second.result["session_id"] == first.result["session_id"]
    assert (first.runs, second.runs) == (1, 1)
    claude_code.proxy.wait_for(r"(?s)\bsession=.*\bsession=")
    assert len(claude_code.sessions) == 2
    assert len(set(claude_code.sessions)) == 1
