"""The same with an agent of a second framework, which keeps its threads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest

from tests.support.ag_ui_client import TIDE, Front, ask, both_ways, echo
from tests.support.agents import asgi
from tests.support.agents.langgraph_agent import QUESTION, new_app

pytest_plugins = ["tests.support.ag_ui_fixtures"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The framework's own: it calls what its next version will not have."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with asgi.serving(new_app()) as url:
        yield url


@both_ways
async def test_translation_text_channel(ag_ui: Front, url: str, stream: bool) -> None:
    (choice,) = (await ask(await ag_ui(upstream=url), "Hi", stream=stream)).choices
    assert (choice.message.content, choice.finish_reason) == ("Hello from the graph.", "stop")


@both_ways
async def test_the_agents_own_tool_stays_inside(ag_ui: Front, url: str, stream: bool) -> None:
    (choice,) = (await ask(await ag_ui(upstream=url), "almanac", stream=stream)).choices
    assert choice.message.content == "It says high water in Brest at 06:12."
    assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])


async def test_the_agents_own_tool_may_be_shown(ag_ui: Front, url: str) -> None:
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


both_forms = pytest.mark.parametrize("form", ["ask", "outcome"])


@both_ways
@both_forms
@pytest.mark.parametrize(
    ("kind", "message", "tool", "reply", "answered"),
    [
        ("one", QUESTION, "", "yes", '"yes"'),
        ("one", QUESTION, "", "No, not for 900.", '"No, not for 900."'),
        ("one", QUESTION, "", '{"seat": 7}', '{"seat": 7}'),
        ("two", f"{QUESTION}\nAnd the hotel?", "", "yes", '"yes" and "yes"'),
        ("actions", "Book it?", "book, pay", "yes", '{"decisions": [{"type": "approve"}, {"type": "approve"}]}'),
        (
            *("actions", "Book it?", "book, pay", '{"confirmed": false, "reason": "Too dear."}'),
            '{"decisions": [{"type": "reject", "message": "Too dear."}, {"type": "reject", "message": "Too dear."}]}',
        ),
    ],
)
async def test_a_question_goes_to_the_client_and_its_answer_back(
    ag_ui: Front, url: str, form: str, stream: bool, kind: str, message: str, tool: str, reply: str, answered: str
) -> None:
    there = await ag_ui(upstream=f"{url}/{form}/{kind}", confirmations="ask")
    first = (await ask(there, "Go.", stream=stream)).choices[0]
    assert first.finish_reason == "tool_calls"
    (question,) = first.message.tool_calls
    asked = json.loads(question.function.arguments)
    assert (question.function.name, asked["message"], asked["tool"]) == ("confirm_tool_call", message, tool)
    answer = {"role": "tool", "tool_call_id": question.id, "content": reply}
    second = (await ask(there, "Go.", echo(first.message), answer, stream=stream)).choices[0]
    assert (second.message.content, second.finish_reason) == (answered, "stop")


@both_forms
async def test_a_question_may_be_answered_with_yes_at_once(ag_ui: Front, url: str, form: str) -> None:
    choice = (await ask(await ag_ui(upstream=f"{url}/{form}/two", confirmations="approve"), "Go.")).choices[0]
    assert choice.message.content == '{"approved": true} and {"approved": true}'


@both_ways
@both_forms
async def test_a_question_that_nobody_answers_is_an_error(ag_ui: Front, url: str, form: str, stream: bool) -> None:
    with pytest.raises(openai.APIError, match="waits for a human's answer"):
        await ask(await ag_ui(upstream=f"{url}/{form}/one"), "Go.", stream=stream)


@both_forms
@pytest.mark.parametrize("history", ["auto", "last", "fold"])
async def test_an_answer_goes_to_the_thread_that_asked(ag_ui: Front, url: str, form: str, history: str) -> None:
    there = await ag_ui(upstream=f"{url}/{form}/one", confirmations="ask", history=history)
    mine = {"X-Session-Id": f"{form}-{history}"}
    first = (await ask(there, "Go.", extra_headers=mine)).choices[0].message
    answer = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "yes"}
    second = (await ask(there, "Go.", echo(first), answer, extra_headers=mine)).choices[0].message
    assert second.content == '"yes"'
    third = (await ask(there, "Go.", echo(first), answer, echo(second), "Again.", extra_headers=mine)).choices[0]
    assert third.message.tool_calls[0].function.name == "confirm_tool_call"
