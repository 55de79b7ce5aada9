"""Open WebUI itself, installed and started as the README says, in front of a real proxy and its demo agent.

It is asked over its own HTTP API as its page asks it, and once by a person in a real browser. A relay notes what it
sends. `scripts/clients --all` runs this.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import browsing, click, shows
from tests.clients.applications import application, proxy_behind, wait_until
from tests.clients.open_webui import PERSON, Chat, OpenWebUI
from tests.clients.recipes import PAGE, Place, read_recipes
from tests.clients.recording_relay import Relay, relaying
from tests.clients.test_clients import PLACES, greets
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(900)

NAME = "Open WebUI"
SETTINGS = {
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "ENABLE_VERSION_UPDATE_CHECK": "False",
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "ANONYMIZED_TELEMETRY": "False",
    "RAG_EMBEDDING_ENGINE": "openai",
}
"""It calls nobody else, and loads no model of its own for files that nobody gives it."""
CHAT_ID, USER_ID = "X-OpenWebUI-Chat-Id", "X-OpenWebUI-User-Id"
ANSWER = ("--side-requests", "answer")
QUESTION = "When is high tide in Brest?"
RECORDED = json.loads((ROOT / "tests/unit/translation/recorded_side_requests.json").read_text("utf-8"))
PICTURE = Path(__file__).parent / "open_webui.png"
"""In the README; written again with OAICOMPAT_TEST_PICTURE=1."""
HEAD = 60
"""Characters by which a prompt is recognised."""


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with relaying() as relay:
        yield relay


@pytest.fixture(scope="module")
def open_webui(relay: Relay) -> Iterator[OpenWebUI]:
    recipe = read_recipes("application")[NAME]
    place = Place(PLACES / "open-webui", recipe, python=">=3.11,<3.13", without=("torch",))
    settings = {**SETTINGS, "DATA_DIR": str(place.home / "run" / "data")}
    with application(place, relay, "3000", "/health", settings) as base:
        yield OpenWebUI(base).sign_up()


@pytest.fixture
def titles(open_webui: OpenWebUI) -> Iterator[None]:
    """What its page asks beside an answer is switched on, as it is after an installation."""
    open_webui.switch(on=True)
    yield
    open_webui.switch(on=False)


def test_it_lists_the_models(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay):
        assert {"demo", "echo", "default"} <= set(open_webui.models())


def test_it_streams_an_answer(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay):
        question = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        *pieces, whole = open_webui.read("/api/chat/completions", question)
        chunks = [json.loads(line[6:]) for line in whole.splitlines() if line.startswith(b"data: {")]
        assert greets("".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks))
        assert len(pieces) > 5


def test_one_run_for_a_chat_where_titles_are_switched_off(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay) as proxy:
        open_webui.switch(on=False)
        assert greets(open_webui.ask("Hello", Chat("demo")).answer)
        assert (len(relay.questions), proxy.runs) == (1, 1)


@pytest.mark.usefixtures("titles")
def test_four_runs_for_a_chat_by_default(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay) as proxy:
        open_webui.ask(QUESTION, Chat("demo"))
        wait_until(lambda: proxy.runs == 4)


@pytest.mark.usefixtures("titles")
def test_one_run_for_a_chat_whose_side_requests_are_answered(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay, *ANSWER) as proxy:
        chat = open_webui.ask(QUESTION, Chat("demo"))
        wait_until(lambda: len(proxy.lines()) == 4)
        assert proxy.runs == 1
        assert chat.title == QUESTION
        for kind in ("title", "tags", "follow_ups"):
            assert len(proxy.lines(f" side_request={kind} ")) == 1
    heads = {each["body"]["messages"][-1]["content"][:HEAD] for each in RECORDED if each["kind"]}
    beside = [sent for sent in relay.questions if sent.prompt != QUESTION]
    assert len(beside) == 3
    for sent in beside:
        assert sent.prompt[:HEAD] in heads, "it asks in other words than those that were recorded"
        assert QUESTION in sent.prompt


@pytest.mark.usefixtures("titles")
def test_a_title_comes_before_the_answer_has_ended(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay, *ANSWER) as proxy:
        chat = Chat("demo")
        open_webui.say("Be slow", chat)
        wait_until(lambda: proxy.lines(" side_request=title "))
        assert not proxy.lines(" session="), "the agent still takes its time"
        wait_until(lambda: open_webui.call(f"/api/v1/chats/{chat.id}")["title"] == "Be slow")
        wait_until(lambda: len(proxy.lines()) == 4)


@pytest.mark.usefixtures("titles")
def test_a_chat_is_a_session(open_webui: OpenWebUI, relay: Relay) -> None:
    """Only new messages reach the agent, which repeats its prompt."""
    with proxy_behind(relay, *ANSWER, "--session-from", f"header:{CHAT_ID}") as proxy:
        chat = open_webui.ask("When is high tide?", Chat("echo"))
        assert open_webui.ask("And low tide?", chat).answer == "And low tide?"
        open_webui.ask("When is high tide?", Chat("echo"))
        first, second, other = proxy.sessions()
        assert first == second != other


def test_its_person_is_the_user(open_webui: OpenWebUI, relay: Relay) -> None:
    named = ("--user-from", f"header:{USER_ID}", "--log-users", "plain")
    with proxy_behind(relay, *named, "--trust-user-from", "127.0.0.1") as proxy:
        open_webui.ask("Hello", Chat("demo"))
        assert proxy.lines(f" user={open_webui.user} ")
    with proxy_behind(relay, *named) as proxy:
        open_webui.ask("Hello", Chat("demo"))
        assert not proxy.lines(open_webui.user), "nobody trusts it"


def test_its_headers_are_those_of_the_readme(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay):
        chat = open_webui.ask("Hello", Chat("demo"))
        (sent,) = relay.questions
    assert (sent.headers[CHAT_ID.lower()], sent.headers[USER_ID.lower()]) == (chat.id, open_webui.user)
    (row,) = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| {NAME} ")]
    own = {name for name in sent.headers if name.startswith("x-")}
    assert own == {word.lower() for word in row.split("`") if word.startswith("X-")}


def test_its_tools_are_called(open_webui: OpenWebUI, relay: Relay) -> None:
    """It declares tools of its own with each request of a chat, and runs what the agent calls."""
    with proxy_behind(relay) as proxy:
        answer = open_webui.ask("[[scenario:client_tool]]", Chat("demo")).answer
        assert "Your tool answered" in answer
        assert proxy.runs == 2
    assert "get_current_timestamp" in {tool["function"]["name"] for tool in relay.questions[0].body["tools"]}


def test_it_shows_reasoning_apart(open_webui: OpenWebUI, relay: Relay) -> None:
    with proxy_behind(relay):
        chat = open_webui.ask("Please think", Chat("demo"))
        kept = open_webui.call(f"/api/v1/chats/{chat.id}")["chat"]["history"]["messages"][chat.parent]
        assert [part["type"] for part in kept["output"]] == ["reasoning", "message"]


@pytest.mark.usefixtures("titles")
async def test_a_person_in_a_browser(open_webui: OpenWebUI, relay: Relay, tmp_path: Path) -> None:
    with proxy_behind(relay, *ANSWER) as proxy:
        open_webui.models()
        async with browsing() as browser:
            page = await browser.open("about:blank")
            await page.resize(1100, 620)
            await page.show(f"{open_webui.base}/auth")
            await shows(page, "document.querySelector('#password') !== null")
            await page.type("#email", PERSON["email"])
            await page.type("#password", PERSON["password"], enter=True)
            await click(page, "button", "Okay")  # what is new in this version
            await shows(page, "document.querySelector('[role=dialog]') === null")
            for question, answer in (("Please think", "the answer is 42"), ("Add 19 and 23 with a tool.", "23 is 42.")):
                await page.type("#chat-input", question, enter=True)
                await shows(page, f"document.querySelector('#messages-container').innerText.includes({answer!r})")
            await shows(page, "document.title.includes('Please think')")
            await asyncio.to_thread(wait_until, lambda: len(proxy.lines()) == 6)  # two answers, and four beside them
            await shows(page, "document.querySelector('button[aria-label=\"Voice mode\"]')?.nodeName")  # not "Stop"
            picture = await page.picture()
        assert proxy.runs == 2
    assert 10_000 < len(picture) < 150_000
    (PICTURE if os.environ.get("OAICOMPAT_TEST_PICTURE") else tmp_path / "page.png").write_bytes(picture)
