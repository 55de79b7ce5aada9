"""n8n itself, installed and started as the README says: its AI agent's chat model is a real proxy and its demo agent.

It is asked over its own HTTP API. A relay notes what it sends. `scripts/clients --all` runs this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.clients.applications import PATIENCE, application, proxy_behind, wait_until
from tests.clients.recipes import PAGE, Place, read_recipes
from tests.clients.recording_relay import Relay, relaying
from tests.clients.test_clients import PLACES, greets
from tests.clients.test_open_webui import NAME as OPEN_WEBUI
from tests.support.processes import free_port

pytestmark = pytest.mark.timeout(1800)

NAME = "n8n"
OWNER = {"email": "ada@example.com", "firstName": "Ada", "lastName": "Byron", "password": "A-secret-of-ada-1"}
SETTINGS = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_SECURE_COOKIE": "false",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    "N8N_GRACEFUL_SHUTDOWN_TIMEOUT": "5",
}
"""It calls nobody else, and takes a login over HTTP."""


@dataclass(frozen=True)
class N8n:
    base: str
    workflow: Path
    """The recipe's."""

    def call(self, path: str, body: Any = None, cookie: str = "") -> tuple[Any, str]:
        """The answer and the cookie that came with it."""
        headers = {"Content-Type": "application/json", "Cookie": cookie}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.base + path, data, headers), timeout=PATIENCE) as answer:
            cookies = SimpleCookie(answer.headers.get("Set-Cookie", ""))
            return json.load(answer), "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())

    def chat(self, question: str, session: str = "s1", workflow: str = "agent") -> str:
        """The answer of the workflow's chat."""
        body = {"action": "sendMessage", "sessionId": session, "chatInput": question}
        answer: str = self.call(f"/webhook/{workflow}/chat", body)[0]["output"]
        return answer

    def has_chat(self, workflow: str = "agent") -> bool:
        """It listens before its workflows do."""
        try:
            return bool(self.chat("Hello", "s0", workflow))
        except HTTPError:
            return False


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with relaying() as relay:
        yield relay


@pytest.fixture(scope="module")
def n8n(relay: Relay) -> Iterator[N8n]:
    place = Place(PLACES / NAME, read_recipes("application")[NAME], node=24, compiled=("sqlite3",))
    settings = {**SETTINGS, "N8N_USER_FOLDER": str(place.home / "run"), "N8N_RUNNERS_BROKER_PORT": str(free_port())}
    with application(place, relay, "5678", "/healthz/readiness", settings) as base:
        n8n = N8n(base, place.home / "run" / "workflow.json")
        with proxy_behind(relay):
            wait_until(n8n.has_chat)
        yield n8n


@pytest.fixture(scope="module")
def owner(n8n: N8n) -> str:
    """Its cookie."""
    return n8n.call("/rest/owner/setup", OWNER)[1]


def test_every_applications_recipe_is_run() -> None:
    assert list(read_recipes("application")) == [OPEN_WEBUI, NAME]


def test_its_agent_answers(n8n: N8n, relay: Relay) -> None:
    with proxy_behind(relay) as proxy:
        assert greets(n8n.chat("Hello"))
        assert (len(relay.questions), proxy.runs) == (1, 1)


def test_its_tools_are_called(n8n: N8n, relay: Relay) -> None:
    """It declares the tools of its agent, and runs what our agent calls."""
    with proxy_behind(relay) as proxy:
        answer = n8n.chat("[[scenario:client_tool]]")
        assert "Your tool answered" in answer
        assert proxy.runs == 2
    first, second = relay.questions
    (name,) = [tool["function"]["name"] for tool in first.body["tools"]]
    (call,) = second.body["messages"][-2]["tool_calls"]
    assert call["function"]["name"] == name
    assert second.body["messages"][-1]["content"] in answer


def test_the_agents_own_tools_are_its_own(n8n: N8n, relay: Relay) -> None:
    with proxy_behind(relay):
        assert "The sum of 19 and 23 is 42." in n8n.chat("Add 19 and 23 with a tool.")


def test_a_chat_is_a_session(n8n: N8n, relay: Relay) -> None:
    """The recipe's extra body names it."""
    with proxy_behind(relay, "--session-from", "metadata.session_id") as proxy:
        n8n.chat("When is high tide?", "one")
        n8n.chat("And low tide?", "one")
        n8n.chat("When is high tide?", "two")
        first, second, other = proxy.sessions()
        assert first == second != other


def test_its_executions_succeed(n8n: N8n, relay: Relay, owner: str) -> None:
    """As its owner sees them."""
    with proxy_behind(relay):
        n8n.chat("Hello")
    executions = n8n.call("/rest/executions", cookie=owner)[0]["data"]["results"]
    assert {execution["status"] for execution in executions} == {"success"}


def test_with_the_responses_api(n8n: N8n, relay: Relay, owner: str) -> None:
    """Which is what its node uses unless that is switched off."""
    workflow = json.loads(n8n.workflow.read_text("utf-8"))
    del workflow["id"]
    chat, _, model, *_ = workflow["nodes"]
    chat["webhookId"], model["parameters"]["responsesApiEnabled"] = "responses", True
    made = n8n.call("/rest/workflows", workflow, owner)[0]["data"]
    n8n.call(f"/rest/workflows/{made['id']}/activate", {"versionId": made["versionId"]}, owner)
    with proxy_behind(relay):
        wait_until(partial(n8n.has_chat, "responses"))
        assert greets(n8n.chat("Hello", workflow="responses"))
        assert "The sum of 19 and 23 is 42." in n8n.chat("Add 19 and 23 with a tool.", workflow="responses")
        assert "Your tool answered" in n8n.chat("[[scenario:client_tool]]", workflow="responses")
    assert {sent.path for sent in relay.questions} == {"/v1/responses"}


def test_its_headers_are_those_of_the_readme(n8n: N8n, relay: Relay) -> None:
    with proxy_behind(relay):
        n8n.chat("Hello")
        (sent,) = relay.questions
    (row,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {NAME} ")]
    assert {name for name in sent.headers if name.startswith("x-") and not name.startswith("x-stainless-")} == set()
    assert "openai-platform" in sent.headers
    assert "`OpenAI-Platform`" in row
    assert sent.headers["user-agent"].partition("/")[0] in row
