"""A conversation at a real terminal, and through a pipe, with the demo agent behind the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oaicompat_proxy.commands.apis import APIS
from tests.support.processes import free_port, proxy
from tests.support.proxy import StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer, run

pytestmark = pytest.mark.slow

WITHIN = 20.0
"""Seconds for any output."""
COMMAND = [sys.executable, "-m", "oaicompat_proxy", "chat", "--url"]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with proxy() as base:
        yield base


class Terminal:
    """A person at a terminal: reads the screen, types, and presses Ctrl-C."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self.process = process
        self.output = ""

    def until(self, pattern: str) -> str:
        """The output up to the first match, from the end of the previous one."""
        deadline = time.monotonic() + WITHIN
        while not (found := re.search(pattern, self.output, re.DOTALL)):
            left = deadline - time.monotonic()
            assert left > 0, f"never printed {pattern!r}: {self.output!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    self.output += os.read(self._master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
                except OSError:
                    raise AssertionError(f"it ended and never printed {pattern!r}: {self.output!r}") from None
        before, self.output = self.output[: found.end()], self.output[found.end() :]
        return before

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupts_until_it_ends(self) -> int:
        """As people do: one that falls between the prompt and readline's wait is seen only with the next key."""
        for _ in range(int(WITHIN)):
            self.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(1)
        return self.ends()

    def ends(self) -> int:
        return self.process.wait(WITHIN)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": ""}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
        preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def take_terminal() -> None:
    """In the child: so that Ctrl-C reaches it as at a real terminal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


with_each_api = pytest.mark.parametrize("api", APIS)


@with_each_api
def test_an_answer_is_shown_and_the_next_question_belongs_to_it(base: str, api: str) -> None:
    with terminal(base, "--model", "echo", "--system", "Be brief.", "--api", api) as person:
        person.until("echo at .*Ctrl-D leaves.*> ")
        person.type("First\n")
        person.until(r"\d s, .*req_\w+.*> ")
        person.type("Second\n")
        output = person.until(r"\d s, .*req_\w+.*> ")
        assert "Be brief." in output
        assert "First" in output
        person.type("\x04")
        assert person.ends() == 0


@with_each_api
def test_ctrl_c_stops_the_answer_and_the_next_leaves(base: str, api: str) -> None:
    with terminal(base, "--api", api) as person:
        person.until("> ")
        person.type("[[scenario:slow]]\n")
        person.until(r"\]\]\n\S+ ")
        person.type("\x03")
        person.until("stopped.*> ")
        person.type("Hello\n")
        person.until("I am the demo agent.*> ")
        assert person.interrupts_until_it_ends() == 0


@with_each_api
def test_reasoning_is_dim(base: str, api: str) -> None:
    with terminal(base, "--api", api) as person:
        person.until("> ")
        person.type("[[scenario:reasoning]]\n")
        shown = person.until(r"req_\w+")
    assert "\x1b[2m" in shown


@with_each_api
def test_a_call_is_shown_and_its_result_asked_for(base: str, api: str) -> None:
    with terminal(base, "--api", api) as person:
        person.until("> ")
        person.type("[[scenario:client_tool]]\n")
        shown = person.until("result of [a-z_]+> ")
        assert re.search(r"client_\w+ .*\{", shown)
        person.type("sunny\n")
        assert "sunny" in person.until(r"req_\w+.*> ")


def test_a_tool_that_the_agent_runs_is_shown_with_its_result(base: str) -> None:
    with terminal(base, "--api", "responses") as person:
        person.until("> ")
        person.type("Add 19 and 23 with a tool.\n")
        assert re.search(r"default: add .*19.* → 42.*\n.*The sum", person.until(r"req_\w+"), re.DOTALL)


@with_each_api
@pytest.mark.parametrize("key", ["y", "n"])
def test_a_tool_that_waits_for_a_person_is_asked_about(api: str, key: str) -> None:
    with proxy("--confirmations", "ask") as base, terminal(base, "--api", api) as person:
        person.until("> ")
        person.type("[[scenario:confirm]]\n")
        assert "danger" in person.until(r"run\? y/n> ")
        person.type(f"{key}\n")
        person.until("It is over.*> ")


@with_each_api
def test_an_error_is_shown_with_its_request_and_the_conversation_goes_on(base: str, api: str) -> None:
    with terminal(base, "--api", api) as person:
        person.until("> ")
        person.type("[[scenario:fail_start]]\n")
        shown = person.until("> ")
        assert ("api_error" if api == "messages" else "agent_unauthorized") in shown
        assert re.search(r"\[req_\w+\]", shown)
        person.type("Hello\n")
        person.until("I am the demo agent")


def piped(base: str, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, base, *arguments], input=text, capture_output=True, text=True, timeout=WITHIN, check=False
    )


def test_a_pipe_asks_one_question_a_line(base: str) -> None:
    done = piped(base, "Hello\n\nAdd 19 and 23 with a tool.")
    assert (done.returncode, done.stderr) == (0, "")
    assert "I am the demo agent" in done.stdout
    assert done.stdout.endswith("The sum of 19 and 23 is 42.\n")
    assert "\x1b" not in done.stdout


async def test_the_session_and_the_key_go_with_every_question(agent: Agent, proxy: StartProxy) -> None:
    agent.replies("/send", Reply(run("Hi")))
    agent.replies("/invoke", answer(None))
    base = (await proxy()).base
    for flags in (["--session", "mine"], ["--session", "mine"], ["--session", "mine", "--api-key", "k"], []):
        assert (await asyncio.to_thread(piped, base, "Hello", *flags)).stdout == "Hi\n"
    first, same, other, fresh = (each.json["sessionId"] for each in agent.runs)
    agent.kept_sessions |= {first, other}
    assert first == same
    assert len({first, other, fresh}) == 3


def test_a_pipe_whose_question_fails_says_so_to_its_script(base: str) -> None:
    done = piped(base, "[[scenario:fail]]\nHello\n")
    assert done.returncode == 1
    assert "agent_" in done.stdout
    assert "I am the demo agent" in done.stdout


def test_where_no_proxy_is_it_says_so() -> None:
    done = piped(f"http://127.0.0.1:{free_port()}", "Hello\n")
    assert done.returncode == 1
    assert "(Connection refused); is the proxy running there?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
