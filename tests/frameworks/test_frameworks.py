"""Each framework of the table in the dialect's README, installed and set as it says, behind a real proxy.

`scripts/clients --agents` runs this. The agents are in `agents/`, one file for each environment; the model behind all
of them is `model.py`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.frameworks import model
from tests.frameworks.frameworks import Framework, read_frameworks
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(600)

FRAMEWORKS = read_frameworks()
START = 120.0
"""Seconds for an agent to start: some import half a gigabyte."""

TIDE: Any = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "Tide table",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
    },
}
QUIET = {
    "OTEL_SDK_DISABLED": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "MASTRA_TELEMETRY_DISABLED": "1",
}
"""Only the model is called."""

Shows = Callable[[str, str], None]
both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@dataclass
class Running:
    """A framework's agent behind a proxy, asked by the official client."""

    framework: Framework
    agent: str
    stack: ExitStack
    proxies: dict[str, str]

    def proxy(self, confirmations: str) -> str:
        """Its address."""
        if confirmations not in self.proxies:
            flags = ("--port", "0", "--confirmations", confirmations, *self.framework.flags)
            command = (sys.executable, "-m", "oaicompat_proxy", "--dialect", "ag-ui", "--upstream", self.agent, *flags)
            child = self.stack.enter_context(stopping(Child(*command)))
            self.proxies[confirmations] = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        return self.proxies[confirmations]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    framework = FRAMEWORKS[request.param]
    framework.install()
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        base = stack.enter_context(model.serving())
        environment = {"OPENAI_BASE_URL": base, "OPENAI_API_BASE": base, "OPENAI_API_KEY": "any", "HOME": str(home)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        child = Child(*framework.command, cwd=home, env={**inherited, **QUIET, **environment})
        agent = stack.enter_context(stopping(child)).wait_for(r"serves (http://\S+)", START)[1]
        yield Running(framework, agent, stack, {})


class Conversation:
    """What a client keeps: it sends all messages each time, and names its session if the table says so."""

    def __init__(self, client: openai.OpenAI, framework: Framework, *, stream: bool) -> None:
        self._client = client
        self._headers = {"X-Session-Id": os.urandom(8).hex()} if framework.names_session else {}
        self._stream = stream
        self.messages: list[Any] = []

    def say(self, content: str, **fields: Any) -> Any:
        return self.send({"role": "user", "content": content}, **fields)

    def send(self, *messages: Any, **fields: Any) -> Any:
        """The choice; it stands in the conversation from now on."""
        self.messages += messages
        asked: Any = {"model": "default", "messages": self.messages, "extra_headers": self._headers, **fields}
        if self._stream:
            with self._client.chat.completions.stream(**asked) as events:
                choice = events.get_final_completion().choices[0]
        else:
            choice = self._client.chat.completions.create(**asked).choices[0]
        mine = choice.message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True)
        for call in mine.get("tool_calls", []):
            call["function"].pop("parsed_arguments", None)
        self.messages.append(mine)
        return choice

    def answer(self, call: Any, content: str, **fields: Any) -> Any:
        return self.send({"role": "tool", "tool_call_id": call.id, "content": content}, **fields)


Talk = Callable[..., Conversation]


@pytest.fixture
def talk(running: Running) -> Iterator[Talk]:
    with ExitStack() as clients:

        def start(*, stream: bool, confirmations: str = "deny") -> Conversation:
            base = f"{running.proxy(confirmations)}/v1"
            client = openai.OpenAI(base_url=base, api_key="any", max_retries=0, timeout=60)
            return Conversation(clients.enter_context(client), running.framework, stream=stream)

        yield start


# The names of these are the columns of the table that is printed.


def test_version(running: Running, record_property: Shows) -> None:
    """The table was written for this release of the same line, or an older one."""
    installed, written = running.framework.version(), running.framework.packages[0][1]
    record_property("shown", installed)
    assert [int(part) for part in installed.split(".")] >= [int(part) for part in written.split(".")]


@both_ways
def test_translation_text_channel(talk: Talk, stream: bool) -> None:
    choice = talk(stream=stream).say("Hello")
    assert (choice.message.content, choice.finish_reason) == (model.GREETING, "stop")


@both_ways
def test_server_tool(talk: Talk, stream: bool) -> None:
    choice = talk(stream=stream).say("almanac")
    assert choice.message.content.startswith(f"{model.BEFORE_CALL}\n\nIt says ")
    assert "high water in Brest at 06:12" in choice.message.content
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])


@both_ways
def test_client_tool(talk: Talk, stream: bool) -> None:
    conversation = talk(stream=stream)
    choice = conversation.say("tide", tools=[TIDE])
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("tide", {"port": "Brest"})
    choice = conversation.answer(call, "06:12", tools=[TIDE])
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])
    assert "06:12" in choice.message.content


@both_ways
def test_history(talk: Talk, stream: bool) -> None:
    """The model gets the earlier messages, each once."""
    conversation = talk(stream=stream)
    conversation.say("The code is 4711.")
    answer = conversation.say("summary").message.content
    assert answer.count("4711") == 1
    assert answer.count(model.GREETING) == 1


@both_ways
def test_error(running: Running, talk: Talk, stream: bool) -> None:
    with pytest.raises(openai.APIError) as failure:
        talk(stream=stream).say("fail")
    assert ("hides" in running.framework.cannot) is (model.FAILURE not in str(failure.value))


CANNOT_WAIT = "no interrupts"
LOOKS_LIKE_A_CALL = "looks like a call for the client"
"""The last column of the table for such an adapter."""


def needs_interrupts(running: Running, record_property: Shows) -> None:
    if CANNOT_WAIT in running.framework.cannot:
        record_property("shown", "none")
        pytest.skip("its adapter has no interrupts")


@both_ways
@pytest.mark.parametrize(
    ("reply", "result"),
    [("yes", "Pen Duick afloat for race"), ('{"confirmed": false, "reason": "Too windy."}', "")],
    ids=["yes", "no"],
)
def test_interrupt(running: Running, talk: Talk, record_property: Shows, stream: bool, reply: str, result: str) -> None:
    """The tool runs with the model's own arguments; other text of the reply changes nothing."""
    needs_interrupts(running, record_property)
    conversation = talk(stream=stream, confirmations="ask")
    choice = conversation.say("launch")
    assert choice.finish_reason == "tool_calls"
    (question,) = choice.message.tool_calls
    asked = json.loads(question.function.arguments)
    assert question.function.name == "confirm_tool_call"
    assert "launch" in asked["message"]
    assert asked["tool"] in ("launch", "")
    choice = conversation.answer(question, reply)
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])
    assert ("afloat" in choice.message.content) is bool(result)
    assert result in choice.message.content


def test_approve(running: Running, talk: Talk, record_property: Shows) -> None:
    needs_interrupts(running, record_property)
    choice = talk(stream=True, confirmations="approve").say("launch")
    assert choice.finish_reason == "stop"
    assert "Pen Duick afloat for race" in choice.message.content


def test_deny(running: Running, talk: Talk, record_property: Shows) -> None:
    """An error, or a call that looks like the client's; never a success."""
    needs_interrupts(running, record_property)
    conversation = talk(stream=False)
    if LOOKS_LIKE_A_CALL in running.framework.cannot:
        choice = conversation.say("launch")
        assert choice.finish_reason == "tool_calls"
        assert [call.function.name for call in choice.message.tool_calls] == ["launch"]
    else:
        with pytest.raises(openai.APIError, match="waits for a"):
            conversation.say("launch")


def test_every_row_has_its_agent() -> None:
    programs = {framework.program for framework in FRAMEWORKS.values()}
    assert programs == set(Path(__file__).parent.glob("agents/*_agent.*"))
