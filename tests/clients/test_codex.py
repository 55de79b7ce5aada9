"""Codex in front of the demo agent: what it shows, and how often it runs the agent for one turn.

Codex repeats most failed requests, whatever `x-should-retry` says, and the proxy recognises the repetitions.
`scripts/clients --all` runs this.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from oaicompat_proxy.demo import texts
from tests.clients.recipes import ADDRESS, Place, read_recipes
from tests.clients.test_clients import FAILED, FLAGS, PLACES, REFUSED, count_runs, greets
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(600)

PATIENCE = 120.0
"""Seconds for one turn."""
NO_GIT = "--skip-git-repo-check"
_TO_GATEWAY = {"gateway", "sent"}
SESSION = re.compile(r"\bsession=(\S+)")


@dataclass(frozen=True)
class Turn:
    """The events that `codex exec --json` writes."""

    events: list[dict[str, Any]]
    runs: int
    """Number of the agent's runs."""

    @property
    def thread(self) -> str:
        (started,) = (event for event in self.events if event["type"] == "thread.started")
        thread: str = started["thread_id"]
        return thread

    @property
    def items(self) -> list[dict[str, Any]]:
        return [event["item"] for event in self.events if event["type"] == "item.completed"]

    @property
    def text(self) -> str:
        return "".join(item["text"] for item in self.items if item["type"] == "agent_message")

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

    @contextmanager
    def begin(self, question: str) -> Iterator[subprocess.Popen[bytes]]:
        """A turn whose run has begun; it is killed at the end."""
        command = [str(self.program), "exec", "--json", NO_GIT, question]
        env = {**os.environ, "HOME": str(self.work), "AGENT_KEY": "any"}
        null = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=self.work, env=env, stdin=null, stdout=null, stderr=null) as process:
            try:
                deadline = time.monotonic() + PATIENCE
                while not count_runs(self.gateway):
                    assert time.monotonic() < deadline, "no run begins"
                    time.sleep(0.05)
                yield process
            finally:
                process.kill()

    def resume(self, question: str) -> Turn:
        """The next turn of the last conversation."""
        return self.ask(question, "resume", "--last")

    def sent_bytes(self) -> int:
        """Bytes that the proxy has sent to the gateway, by its metrics."""
        base = self.proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        with urlopen(f"{base}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        (count,) = (
            line for line in lines if line.startswith("oaicompat_bytes_total{") and set(line.split('"')) >= _TO_GATEWAY
        )
        return int(float(count.rpartition(" ")[2]))

    @property
    def sessions(self) -> list[str]:
        """The agent's session of each run, from the proxy's log."""
        return SESSION.findall(self.proxy.output)


class BreakingRelay(socketserver.ThreadingTCPServer):
    """Passes connections on, and breaks the first `times` of them behind the first `mark` in the answer."""

    daemon_threads = True

    def __init__(self, port: int, mark: bytes, times: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port = port
        self.mark = mark
        # state
        self.times = times


class _Connection(socketserver.BaseRequestHandler):
    server: BreakingRelay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
            threading.Thread(target=self._pass_request_on, args=(upstream,), daemon=True).start()
            sent, received = 0, b""
            while data := upstream.recv(65536):
                received += data
                if self.server.times and self.server.mark in received:
                    self.server.times -= 1
                    self.request.sendall(received[sent : received.index(self.server.mark) + len(self.server.mark)])
                    return
                self.request.sendall(data)
                sent = len(received)

    def _pass_request_on(self, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)


@contextmanager
def breaking(base: str, mark: bytes, *, times: int) -> Iterator[str]:
    """The address of a relay in front of `base`."""
    with BreakingRelay(int(base.rpartition(":")[2]), mark, times) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{relay.server_address[1]}"
        relay.shutdown()
        assert relay.times == 0


StartCodex = Callable[..., AbstractContextManager[Codex]]


@pytest.fixture(scope="module")
def place() -> Place:
    place = Place(PLACES / "codex", read_recipes("coding agent")["Codex"])
    place.install()
    return place


@pytest.fixture
def start(place: Place, tmp_path: Path) -> StartCodex:
    """Starts a proxy with these flags, and configures Codex as the recipe does. The first two connections break behind
    the first `break_behind` of an answer.
    """
    (program,) = place.home.glob("node_modules/@openai/codex-*/vendor/*/bin/codex")

    @contextmanager
    def start(*flags: str, break_behind: bytes = b"") -> Iterator[Codex]:
        with ExitStack() as stack:
            child = Child(sys.executable, "-m", "oaicompat_proxy", "--demo", *FLAGS, *flags)
            proxy = stack.enter_context(stopping(child))
            base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
            gateway = proxy.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1]
            if break_behind:
                base = stack.enter_context(breaking(base, break_behind, times=2))
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


def test_a_tool_that_codex_runs(codex: Codex) -> None:
    """Two requests of one turn, of which the second is no repetition."""
    turn = codex.ask("[[scenario:client_tool]]")
    assert turn.error is None
    assert "command_execution" in [item["type"] for item in turn.items]
    assert texts.result("Chunk ID") in turn.text
    assert turn.runs == 2


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


def test_a_broken_connection(start: StartCodex) -> None:
    """Codex sends the request again, in the last case with the answer that it has."""
    for mark in (b"HTTP/1.1 200", b"response.output_text.delta", b"event: response.completed"):
        with start(break_behind=mark) as codex:
            turn = codex.ask("Hello")
            assert turn.error is None, mark
            assert greets(turn.text)
            assert turn.runs == 1


def test_keep_alives(codex: Codex) -> None:
    """They come between the words, as the flags say."""
    turn = codex.ask("[[scenario:slow]]")
    assert turn.error is None
    assert turn.text == texts.SLOW
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


def test_ten_turns_in_one_session(start: StartCodex) -> None:
    """Ten runs in one session of the agent, which is sent only what is new: a turn is no longer than the one before."""
    with start("--sessions", "recognise") as codex:
        turns, sent = [codex.ask("Hello")], [codex.sent_bytes()]
        for _ in range(9):
            turns.append(codex.resume("Hello"))
            sent.append(codex.sent_bytes())
        assert all(greets(turn.text) for turn in turns)
        assert [turn.runs for turn in turns] == [1] * 10
        assert len({turn.thread for turn in turns}) == 1
        codex.proxy.wait_for(r"(?s)(\bsession=.*){10}")
        assert len(set(codex.sessions)) == 1
        sizes = [after - before for before, after in pairwise(sent)]
        assert max(sizes) - min(sizes) < 1000, sizes


def test_a_turn_that_is_stopped(codex: Codex) -> None:
    """As by Esc: the agent stops soon, although Codex might have come back."""
    with codex.begin("[[scenario:silent]]") as process:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        left = time.monotonic()
    codex.proxy.wait_for(r"\bsession=")
    assert time.monotonic() - left < 5
