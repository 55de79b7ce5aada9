"""The same with an agent of a second framework, which keeps its threads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import asgi
import openai
import pytest
from ag_ui_front import TIDE, Front, ask, both_ways, echo
from langgraph_agents import new_app

pytest_plugins = ["ag_ui_fixtures"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The framework's own: it calls what its next version will not have."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with asgi.serving(new_app()) as url:
        yield url


@both_ways
async def test_text(ag_ui: Front, url: str, stream: bool) -> None:
    (choice,) = (await ask(await ag_ui(upstream=url), "Hi", stream=stream)).choices
    assert (choice.message.content, choice.finish_reason) == ("Hello from the graph.", "stop")


@both_ways
async def test_the_agents_own_tool_stays_inside(ag_ui: Front, url: str, stream: bool) -> None:
    (choice,) = (await ask(await ag_ui(upstream=url), "almanac", stream=stream)).choices
    assert choice.message.content == "It says high water in Brest at 06:12."
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])


async def test_the_agents_own_tool_may_be_told(ag_ui: Front, url: str) -> None:
    message = (await ask(await ag_ui(upstream=url, server_tools="reasoning"), "almanac")).choices[0].message
    assert message.reasoning_content == '⟦tool⟧ almanac {"port":"Brest"} → high water in Brest at 06:12'


@both_ways
async def test_the_clients_tool_in_two_rounds(ag_ui: Front, url: str, stream: bool) -> None:
    there = await ag_ui(upstream=url)
    (choice,) = (await ask(there, "tide", stream=stream, tools=[TIDE])).choices
    (called,) = choice.message.tool_calls
    assert (choice.finish_reason, called.function.name) == ("tool_calls", "tide")
    assert json.loads(called.function.arguments) == {"port": "Brest"}
    answered = {"role": "tool", "tool_call_id": called.id, "content": "06:12"}
    second = await ask(there, "tide", echo(choice.message), answered, stream=stream, tools=[TIDE])
    assert (second.choices[0].message.content, second.choices[0].finish_reason) == ("It says 06:12.", "stop")


@both_ways
async def test_a_failure(ag_ui: Front, url: str, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError, match=r"The crystal ball broke\."):
        await ask(await ag_ui(upstream=url), "fail", stream=stream)


async def test_a_thread_that_the_agent_keeps_gets_what_is_new(ag_ui: Front, url: str) -> None:
    there = await ag_ui(upstream=url, history="last")
    mine = {"X-Session-Id": "tides"}
    first = (await ask(there, "Hi", extra_headers=mine)).choices[0].message
    second = (await ask(there, "Hi", echo(first), "summary", extra_headers=mine)).choices[0].message
    assert json.loads(second.content) == [["human", "Hi"], ["ai", "Hello from the graph."], ["human", "summary"]]
