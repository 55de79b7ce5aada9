"""Whose tool call is it? (decision D4), socket to socket with the demo gateway, which makes a result up for every call.

A client is never asked to run what the agent ran, and is always asked for what it declared.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from oaicompat_proxy.demo import texts
from oaicompat_proxy.demo.script import Say, Script, ScriptedToolCall, Tick
from oaicompat_proxy.demo.settings import GatewaySettings
from tests.support.conformance import Answer, check_body, check_stream
from tests.support.proxy_harness import Chat, Front, StartFront, function, result, user

pytest_plugins = ["tests.support.proxy_fixtures"]
pytestmark = pytest.mark.usefixtures("wire")

TIDE = function("tide", port="string")
ADD = function("add", a="number", b="number")
TELEPORT = function("teleport", to="string")
WEATHER = function("client_weather", city="string")

both_ways = pytest.mark.parametrize("stream", [True, False])


def calls(answer: Answer) -> list[tuple[str, Any]]:
    return [(name, json.loads(arguments)) for _, name, arguments in answer.tool_calls]


# The client's


BEFORE = {"client_tool": texts.CHECKING, "client_tool_faked": texts.LET_ME_SEE}


@both_ways
@pytest.mark.parametrize("scenario", BEFORE)
async def test_a_declared_call_is_the_clients_and_ends_the_answer(
    front: StartFront, scenario: str, stream: bool
) -> None:
    """Whether the agent stops there, or goes on with the result that the gateway made up."""
    there = await front()
    answer = await there.ask(f"[[scenario:{scenario}]]", tools=[TIDE], stream=stream)
    assert (answer.text, answer.finish_reason) == (BEFORE[scenario], "tool_calls")
    assert [name for name, _ in calls(answer)] == ["tide"]
    assert "rendered on client" not in answer.text + answer.reasoning
    await there.at_rest()


@both_ways
async def test_an_undeclared_call_on_which_the_run_ends_is_handed_out(front: StartFront, stream: bool) -> None:
    there = await front()
    answer = await there.ask("[[scenario:client_tool]]", stream=stream)
    assert (answer.text, answer.finish_reason) == (texts.CHECKING, "tool_calls")
    assert calls(answer) == [("client_weather", {"city": "Paris", "unit": "C"})]


@both_ways
async def test_an_undeclared_call_after_which_the_run_goes_on_stays_inside(front: StartFront, stream: bool) -> None:
    there = await front()
    answer = await there.ask("[[scenario:client_tool_faked]]", stream=stream)
    assert (answer.tool_calls, answer.finish_reason) == ([], "stop")
    assert answer.text == f"{texts.LET_ME_SEE}\n\n{texts.FAKED}"


@both_ways
async def test_a_client_that_forbids_calls_is_handed_none_of_its_own(front: StartFront, stream: bool) -> None:
    """With `tool_choice: none` no tool is the client's, so the call is the agent's own affair."""
    there = await front()
    answer = await there.ask("[[scenario:client_tool_faked]]", tools=[TIDE], tool_choice="none", stream=stream)
    assert (answer.tool_calls, answer.finish_reason) == ([], "stop")


async def test_a_declared_call_streams_while_the_model_writes_it(front: StartFront) -> None:
    """Its head is out before the last piece of its arguments was made."""
    there = await front(GatewaySettings(pace=0.02))
    line = await there.line("[[scenario:client_tool]]", tools=[function("tide", port="string", note="string")])
    head = await line.read_until(b'"name":"tide"')
    assert b'"finish_reason":"tool_calls"' not in head
    rest = await line.read_until(b"[DONE]")
    assert rest.count(b'"arguments":') > 1
    assert b'"finish_reason":"tool_calls"' in rest


# The agent's own

OWN = {
    "tool_whole": texts.SUM,
    "tool_twice": texts.SUM,
    "tool_unended": texts.SUM,
    "tool_parallel": "The sums are 42 and 23.",
    "tool_unknown": "There is no such tool here, so we stay where we are.",
    "tool": "The sum of 19 and 23 is 42.",
}


@both_ways
@pytest.mark.parametrize("scenario", OWN)
@pytest.mark.parametrize("tools", [[], [TIDE]], ids=["no tools", "other tools"])
@pytest.mark.parametrize("model", ["demo", "nostream"])
async def test_the_agents_own_call_stays_inside(
    front: StartFront, scenario: str, tools: list[Any], stream: bool, model: str
) -> None:
    """For every form of the provider's report; the client gets the agent's last text."""
    there = await front()
    answer = await there.ask(
        f"[[scenario:{scenario}]]", stream=stream, model=model, **({"tools": tools} if tools else {})
    )
    assert (answer.tool_calls, answer.finish_reason) == ([], "stop")
    assert answer.text == f"{texts.LET_ME_SEE}\n\n{OWN[scenario]}"


# The same calls, of tools that the client has declared

SUM = ("add", {"a": 19, "b": 23})
DECLARED: dict[str, tuple[dict[str, Any], list[tuple[str, Any]]]] = {
    "tool_whole": (ADD, [SUM]),
    "tool_twice": (ADD, [SUM]),
    "tool_unended": (ADD, [SUM]),
    "tool_parallel": (ADD, [SUM, ("add", {"a": 20, "b": 3})]),
    "tool_unknown": (TELEPORT, [("teleport", {"to": "Mars"})]),
    "tool": (ADD, [SUM]),
}


@both_ways
@pytest.mark.parametrize("scenario", DECLARED)
@pytest.mark.parametrize("model", ["demo", "nostream"])
async def test_a_declared_call_goes_out_however_it_is_reported(
    front: StartFront, scenario: str, stream: bool, model: str
) -> None:
    """Once, with its own id, whole; interleaved calls one after another."""
    tool, expected = DECLARED[scenario]
    there = await front()
    answer = await there.ask(f"[[scenario:{scenario}]]", tools=[tool], stream=stream, model=model)
    assert calls(answer) == expected
    assert answer.finish_reason == "tool_calls"
    assert answer.text == texts.LET_ME_SEE
    assert len({call_id for call_id, _, _ in answer.tool_calls}) == len(expected)


@both_ways
async def test_of_a_mixed_tick_only_the_clients_call_goes_out(front: StartFront, stream: bool) -> None:
    mixed = Tick(
        (
            Say(("Both. ",)),
            ScriptedToolCall("call_own", "add", ('{"a":1}',), "2"),
            ScriptedToolCall("call_yours", "tide", ('{"port":', '"Brest"}'), executed_by="client"),
        ),
        stop_reason="tool_use",
        should_continue=True,
    )
    settings = GatewaySettings(pace=0, recordings={"both": Script((mixed, Tick((Say(("Made up.",)),))))})
    there = await front(settings)
    answer = await there.ask("both", tools=[TIDE], stream=stream)
    assert answer.tool_calls == [("call_yours", "tide", '{"port":"Brest"}')]
    assert answer.finish_reason == "tool_calls"
    assert "Made up" not in answer.text


@both_ways
async def test_a_call_without_arguments_has_an_empty_object(front: StartFront, stream: bool) -> None:
    ask = Tick((ScriptedToolCall("call_1", "tide", (), executed_by="client", deltas=stream),), stop_reason="tool_use")
    there = await front(GatewaySettings(pace=0, recordings={"ask": Script((ask,))}))
    answer = await there.ask("ask", tools=[TIDE], stream=stream)
    assert answer.tool_calls == [("call_1", "tide", "{}")]


@both_ways
@pytest.mark.parametrize("tools", [[], [TIDE]])
async def test_a_run_that_stops_at_its_own_limit_of_ticks_ends_with_length(
    front: StartFront, stream: bool, tools: list[Any]
) -> None:
    there = await front()
    answer = await there.ask("[[scenario:max_ticks]]", stream=stream, **({"tools": tools} if tools else {}))
    assert (answer.finish_reason, answer.tool_calls) == ("length", [])
    assert answer.text == "\n\n".join(f"Step {n}. " for n in range(1, 11))


# The loop: the client runs the tool and sends what came of it


@both_ways
@pytest.mark.parametrize("scenario", ["client_tool", "client_tool_faked"])
@pytest.mark.parametrize("sessions", ["fresh", "recognise", "named"])
async def test_two_rounds_of_the_loop(front: StartFront, scenario: str, sessions: str, stream: bool) -> None:
    there = await front(sessions=sessions) if sessions != "named" else await front()
    chat = Chat(there, tools=[TIDE], stream=stream, **({"name": "harbour"} if sessions == "named" else {}))
    for number in (1, 2):
        answer = await chat.say(f"Round {number}: [[scenario:{scenario}]]")
        ((call_id, name, _),) = answer.tool_calls
        assert (name, answer.finish_reason) == ("tide", "tool_calls")
        final = await chat.add(result(call_id, f"high at 0{number}:12"))
        assert f"high at 0{number}:12" in final.text
        assert (final.finish_reason, final.tool_calls) == ("stop", [])
    assert len({run.session_key for run in there.runs}) == (4 if sessions == "fresh" else 1)
    there.keep_sessions()


async def test_results_of_parallel_calls_go_back_together(front: StartFront) -> None:
    there = await front()
    chat = Chat(there, tools=[ADD])
    (first, _, _), (second, _, _) = (await chat.say("[[scenario:tool_parallel]]")).tool_calls
    final = await chat.add(result(first, "forty-two"), result(second, "twenty-three"))
    assert "forty-two" in final.text
    assert "twenty-three" in final.text


async def test_the_official_clients_loop(front: StartFront) -> None:
    """As in its documentation: the message is sent back as it came."""
    there = await front()
    client = openai.AsyncOpenAI(base_url=f"{there.proxy.base}/v1", api_key="any", max_retries=0)
    messages: list[Any] = [user("[[scenario:client_tool_faked]]")]
    async with client:
        first = await client.chat.completions.create(model="demo", messages=messages, tools=[TIDE])  # type: ignore[list-item]
        message = first.choices[0].message
        assert message.tool_calls
        messages += [message, result(message.tool_calls[0].id, "06:12")]
        async with client.chat.completions.stream(model="demo", messages=messages, tools=[TIDE]) as stream:  # type: ignore[list-item]
            final = await stream.get_final_completion()
    assert "06:12" in (final.choices[0].message.content or "")


@both_ways
async def test_functions_of_the_older_kind_are_the_clients_too(front: StartFront, stream: bool) -> None:
    there = await front()
    answer = await there.ask("[[scenario:tool]]", functions=[ADD["function"]], stream=stream)
    assert (answer.function_call, answer.finish_reason) == (("add", '{"a":19,"b":23}'), "function_call")


# What it used


@both_ways
async def test_usage_is_there_when_the_clients_tool_ends_the_answer(front: StartFront, stream: bool) -> None:
    there = await front()
    more = {"stream_options": {"include_usage": True}} if stream else {}
    received = await there.post("[[scenario:client_tool]]", tools=[TIDE], stream=stream, **more)
    last = received.body.split(b"\n\n")[-3].removeprefix(b"data: ") if stream else received.body
    assert json.loads(last)["usage"]["total_tokens"] > 0


async def test_many_at_once_are_not_mixed(front: StartFront) -> None:
    there: Front = await front()
    scenarios = [*OWN, "client_tool", "client_tool_faked"] * 5
    answers = await asyncio.gather(*(there.ask(f"[[scenario:{name}]]", tools=[TIDE]) for name in scenarios))
    for name, answer in zip(scenarios, answers, strict=True):
        assert answer.finish_reason == ("stop" if name in OWN else "tool_calls"), name


@both_ways
@pytest.mark.parametrize("model", ["demo", "nostream"])
@pytest.mark.parametrize("declared", [[], [WEATHER]])
async def test_a_tool_that_the_agent_has_run_is_not_handed_out(
    front: StartFront, stream: bool, model: str, declared: list[dict[str, Any]]
) -> None:
    """Although the run ends on the tick that calls it, and for all other declared tools."""
    there = await front()
    tools = {"tools": declared} if declared else {}
    answer = await there.ask("[[scenario:server_stop]]", model=model, stream=stream, **tools)
    assert (answer.text, answer.finish_reason, answer.tool_calls) == ("Adding.", "stop", [])


@both_ways
@pytest.mark.parametrize("model", ["demo", "nostream"])
@pytest.mark.parametrize("where", ["hide", "reasoning", "content"])
async def test_of_a_mixed_last_tick_only_the_placeholder_is_sent(
    front: StartFront, stream: bool, model: str, where: str
) -> None:
    """A call that the client gets is not shown as the agent's own."""
    there = await front(server_tools=where)
    answer = await there.ask("[[scenario:mixed_stop]]", model=model, stream=stream)
    assert answer.finish_reason == "tool_calls"
    assert calls(answer) == [("client_weather", {"city": "Paris"})]
    text = answer.text + answer.reasoning
    assert ("⟦tool⟧ add" in text) == (where != "hide")
    assert "client_weather" not in text


@both_ways
@pytest.mark.parametrize("scenario", ["client_tool", "mixed_stop"])
async def test_the_text_beside_a_declared_call_is_not_lost(front: StartFront, stream: bool, scenario: str) -> None:
    """On the newer wire the message of a model that does not stream comes after its tools, its usage still later."""
    there = await front()
    more = {"stream_options": {"include_usage": True}} if stream else {}
    tools = [TIDE if scenario == "client_tool" else WEATHER]
    received = await there.post(f"[[scenario:{scenario}]]", model="nostream", tools=tools, stream=stream, **more)
    answer = check_stream(received.body, include_usage=True) if stream else check_body(received.body)
    assert answer.text == {"client_tool": texts.CHECKING, "mixed_stop": "Adding."}[scenario]
    assert answer.finish_reason == "tool_calls"
    assert len(answer.tool_calls) == 1
    assert answer.usage is not None
    assert answer.usage["completion_tokens"] > 0
    if stream:
        assert received.body.index(b'"content":"' + answer.text[:4].encode()) < received.body.index(b'"tool_calls":[')
