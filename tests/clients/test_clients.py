"""Each client of the README, installed as it says, run as it says, and asked for all that it can do.

The proxy is a real process in front of its demo agent; nothing of a client is replaced. `scripts/clients` runs this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from oaicompat_proxy.demo import texts
from tests.clients.recipes import Place, read_recipes
from tests.support.paths import ROOT
from tests.support.processes import Child, stopping

pytestmark = pytest.mark.timeout(600)

PLACES = ROOT / ".clients"
AT_ONCE = 4
"""Clients that are installed and asked at the same time: they wait more than they work."""
FLAGS = ("--port", "0", "--keep-alive", "0.2", "--first-event-wait", "0.2", "--confirmations", "ask")
"""Keep-alives come between the words of a slow answer, so that each client meets some; a tool may wait for a person."""

FAILED = "Demo provider exploded midstream"
REFUSED = "Demo provider exploded at start"
RUNS = 9
"""One for the recipe and for each check, two for a round of tools: a client that repeats a run makes more."""
MORE_RUNS = {"helper": 1, "structured": 1, "agent_tool": 1, "approval": 1, "second_turn": 2, "previous_id": 4}
MORE_RUNS |= {"background": 1, "resumed": 1, "conversation": 3, "session": 2}
"""For each of the checks that not every client has."""


@dataclass(frozen=True)
class Client:
    check: str
    """The file that asks it."""
    python: str = sys.executable
    reasoning: bool = True
    tools: bool = True
    """Whether it lets the model call tools."""
    repeats: bool = False
    """A run that fails for every prompt."""
    quick: bool = False
    """It stands for its API where not every client is run."""
    more: tuple[str, ...] = ()
    """Checks beside those that every client has."""

    @property
    def runs(self) -> int:
        """Number of the agent's runs for all checks."""
        return RUNS + sum(MORE_RUNS[check] for check in self.more)


OPENAI_CHECKS = ("helper", "structured", "agent_tool", "second_turn", "previous_id", "background", "resumed")
OPENAI_CHECKS += ("conversation",)
MESSAGES_CHECKS = ("helper", "agent_tool", "second_turn")
AGENT_CHECKS = ("agent_tool", "approval", "second_turn")
CLIENTS = {
    "curl": Client("curl.py"),
    "openai for Python": Client("openai.py", quick=True),
    "openai for Python, Responses": Client("openai_responses.py", quick=True, more=OPENAI_CHECKS),
    "openai for Node": Client("openai.mjs"),
    "openai for Node, Responses": Client("openai_responses.mjs", more=OPENAI_CHECKS),
    "anthropic for Python": Client("anthropic.py", quick=True, more=MESSAGES_CHECKS),
    "anthropic for Node": Client("anthropic.mjs", more=MESSAGES_CHECKS),
    "Vercel AI SDK": Client("vercel.mjs"),
    "Vercel AI SDK, Responses": Client(
        "vercel_responses.mjs", more=("structured", "agent_tool", "approval", "second_turn")
    ),
    "Vercel AI SDK, Anthropic": Client("vercel_anthropic.mjs", more=("agent_tool", "second_turn")),
    "LangChain": Client("langchain.py", reasoning=False),
    "LangChain for JavaScript": Client("langchain.mjs"),
    "LangChain, Anthropic": Client("langchain_anthropic.py", more=("agent_tool", "second_turn")),
    "LiteLLM": Client("litellm.py"),
    "LlamaIndex": Client("llama_index.py"),
    "pydantic-ai": Client("pydantic_ai.py"),
    "openai-agents": Client("openai_agents.py"),
    "openai-agents, Responses": Client("openai_agents_responses.py", more=(*AGENT_CHECKS, "session")),
    "openai-agents for JS": Client("openai_agents.mjs", more=AGENT_CHECKS),
    "agent-framework": Client("agent_framework.py", reasoning=False),
    "ADK": Client("adk.py"),
    "Mastra": Client("mastra.mjs"),
    "Genkit": Client("genkit.mjs"),
    "LibreChat's engine": Client("librechat.mjs"),
    "llm": Client("llm.py", reasoning=False),
    "aider": Client("aider.py", python=">=3.11,<3.13", tools=False, repeats=True),
}
QUIET = {
    "AIDER_ANALYTICS_DISABLE": "true",
    "AIDER_CHECK_UPDATE": "false",
    "AIDER_CHAT_HISTORY_FILE": "chat.md",
    "AIDER_INPUT_HISTORY_FILE": "input",
}
"""aider calls nobody else, and writes where it runs instead of at the top of this repository."""


@dataclass(frozen=True)
class Showed:
    """A client's results of the answers."""

    client: Client
    screen: str
    checks: dict[str, Any]
    runs: int
    """Number of the agent's runs."""

    def __getitem__(self, check: str) -> Any:
        assert self.checks.get(check) is not None, f"{check} failed:\n{self.screen}"
        return self.checks[check]


def ask_client(name: str) -> Showed:
    client = CLIENTS[name]
    place = Place(PLACES / name.replace(" ", "-").lower(), read_recipes()[name], client.python)
    place.install()
    home = str(place.home / "run")
    with stopping(Child(sys.executable, "-m", "oaicompat_proxy", "--demo", *FLAGS)) as proxy:
        base = proxy.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        gateway = proxy.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1]
        screen = place.run(client.check, base, GATEWAY=gateway, HOME=home, **QUIET)
        checks = json.loads(Path(home, "showed.json").read_text("utf-8"))
        return Showed(client, screen, checks, count_runs(gateway))


def count_runs(gateway: str) -> int:
    """The gateway's own answer."""
    body = json.dumps({"method": "status", "params": {}}).encode()
    with urlopen(Request(f"{gateway}/invoke", body, {"Content-Type": "application/json"})) as answer:
        runs: int = json.load(answer)["gateway"]["runs"]
        return runs


@pytest.fixture(scope="module")
def asked(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Showed]]:
    """Asks all clients that are tested, some at once, and has what each showed.

    The slow ones first, the others in the order of their tests: the first test would wait for the last client.
    """
    specs = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = {params["showed"] for params in specs if "showed" in params}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[str, Future[Showed]] = {
            name: pool.submit(partial(ask_client, name))
            for name in sorted(CLIENTS, key=lambda name: not CLIENTS[name].repeats)
            if name in names
        }
        yield lambda name: futures[name].result()


def clients(check: str | None = None) -> Iterator[Any]:
    """All, or those that have a check which others lack."""
    for name, client in CLIENTS.items():
        if check is None or check in client.more:
            yield pytest.param(name, marks=pytest.mark.quick if client.quick else ())


def only_with(check: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("showed", list(clients(check)), indirect=True)


@pytest.fixture(scope="module", params=clients())
def showed(request: pytest.FixtureRequest, asked: Callable[[str], Showed]) -> Showed:
    return asked(request.param)


def words(text: str) -> str:
    """Without the line breaks of a terminal."""
    return " ".join(text.split())


GREETING = words(texts.answer("Hello")).split("“")[0]
CAN_SHOW = words(texts.CAN_SHOW)


def greets(text: str) -> bool:
    """Whether it is the demo agent's answer to a greeting, whole."""
    return GREETING in words(text) and CAN_SHOW in words(text)


@pytest.mark.quick
def test_every_recipe_is_run() -> None:
    assert list(read_recipes()) == list(CLIENTS)


# The names of these are the columns of the table.


Shows = Callable[[str, str], None]


def test_version(showed: Showed, record_property: Shows) -> None:
    version = showed["version"]
    record_property("shown", version)
    assert version[0].isdigit()


def test_recipe(showed: Showed) -> None:
    assert greets(showed.screen)


def test_plain(showed: Showed) -> None:
    assert greets(showed["plain"])


def test_stream(showed: Showed) -> None:
    """In many pieces; that they are not shown together at the end is what `test_cancel` would see."""
    assert greets("".join(showed["streaming"]))
    assert len(showed["streaming"]) > 5


def test_tools(showed: Showed, record_property: Shows) -> None:
    if not showed.client.tools:
        record_property("shown", "no")
        assert "tools" not in showed.checks
        return
    assert texts.result("21 degrees in Paris") in showed["tools"]


@only_with("helper")
def test_helper(showed: Showed) -> None:
    """The client's own collector of a stream gives what was streamed."""
    answer, final = showed["helper"]
    assert greets(answer)
    assert final == answer


@only_with("structured")
def test_structured(showed: Showed) -> None:
    assert showed["structured"] == "Paris"


@only_with("agent_tool")
def test_agent_tool(showed: Showed) -> None:
    """A tool that the agent runs itself is shown with its result, and the client does not run it."""
    name, output, answer = showed["agent_tool"]
    assert (name, output) == ("add", "42")
    assert "The sum of 19 and 23 is 42." in words(answer)


@only_with("approval")
def test_approval(showed: Showed) -> None:
    """A tool that waits for a person: the client asks, and the run goes on with what it answers."""
    (tool,), answer = showed["approval"]
    assert "danger" in tool
    assert "It is over." in words(answer)


@only_with("second_turn")
def test_second_turn(showed: Showed) -> None:
    """The agent gets its own answer back, whether the client repeats it or refers to it by its id."""
    check_conversation(showed["second_turn"])


@only_with("previous_id")
def test_previous_id(showed: Showed) -> None:
    """Each turn names the response before it, and only what is new reaches the agent; a fork brings it everything."""
    turns, fork = showed["previous_id"]
    assert turns == ["And low tide?", "And tomorrow?"]
    check_conversation(fork)


@only_with("background")
def test_background(showed: Showed) -> None:
    """The run needs no reader; its answer is polled."""
    states, answer = showed["background"]
    assert states == ["queued", "completed"]
    assert greets(answer)


@only_with("resumed")
def test_resumed(showed: Showed) -> None:
    """A stream that was cut is taken up again: nothing is lost and nothing comes twice."""
    in_order, text = showed["resumed"]
    assert in_order
    assert greets(text)


@only_with("conversation")
def test_conversation(showed: Showed) -> None:
    """Only what is new reaches the agent, until items are deleted or added by hand: then it gets everything."""
    items, second, changed, deleted = showed["conversation"]
    assert items[:3] == ["When is high tide?", "When is high tide?", "And low tide?"]
    assert second == "And low tide?"
    assert "[1] assistant > When is high tide?" in words(changed)
    assert "It is winter." in changed
    assert changed.endswith("And tomorrow?")
    assert deleted is True


@only_with("session")
def test_session(showed: Showed) -> None:
    second, roles = showed["session"]
    check_conversation(second)
    assert roles == ["user", "assistant", "user", "assistant"]


def check_conversation(echo: str) -> None:
    """The prompt that the agent got in the second turn; the agent repeats its prompt."""
    echoed = words(echo)
    assert "[1] user > When is high tide? [2] assistant > When is high tide?" in echoed
    assert echoed.endswith("And low tide?")


def test_reasoning(showed: Showed, record_property: Shows) -> None:
    shown = texts.THOUGHT in words(showed["reasoning"])
    record_property("shown", "yes" if shown else "no")
    assert shown is showed.client.reasoning


def test_error(showed: Showed) -> None:
    """In mid-stream. The text before the error is shown, too, where the client separates them."""
    text, error = showed["error"]
    assert FAILED in words(error)
    assert "One" in (text or error)


def test_refusal(showed: Showed) -> None:
    """An error with an HTTP status."""
    assert REFUSED in words(showed["refusal"])


def test_cancel(showed: Showed) -> None:
    """The agent's session is closed long before its answer would have ended."""
    assert showed["cancel"] is True


def test_run_once(showed: Showed, record_property: Shows) -> None:
    if showed.client.repeats:
        record_property("shown", "no")
        assert showed.runs > showed.client.runs - 2
    else:
        assert showed.runs == showed.client.runs
