"""Every answer that the demo agent's scenarios lead to, through the shared checker: as strict as any client may be."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest

from oaicompat_proxy.demo.scenarios import SCENARIOS
from oaicompat_proxy.translation.tool_call_ids import SHORT_PREFIX
from tests.support.conformance import REASONING_FIELDS, Answer, check_body, check_error_body, check_stream
from tests.support.demo import Demo
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, frame, run, text, tool_call

ENDLESS = "silent"
"""The one scenario that sends nothing and does not end."""
LARGE = ("big", "long")

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "client_weather", "parameters": PARAMETERS}
"""The function that the demo agent calls also without a declaration, as with `functions`."""
DECLARED: dict[str, dict[str, Any]] = {
    "nothing declared": {},
    "tools": {"tools": [{"type": "function", "function": FUNCTION}]},
    "functions": {"functions": [FUNCTION]},
}


def tagged(name: str) -> str:
    return f"Please, [[scenario:{name}]]"


def read_whole(received: Received, reasoning_field: str) -> Answer:
    """A whole answer or a whole error."""
    if received.status == 200:
        return check_body(received.body, reasoning_field=reasoning_field)
    return Answer(error=check_error_body(received.body))


def read_stream(received: Received, include_usage: bool, reasoning_field: str) -> Answer:
    """A stream, or the error in place of one."""
    if received.status == 200:
        return check_stream(received.body, include_usage=include_usage, reasoning_field=reasoning_field)
    return Answer(error=check_error_body(received.body))


def content_of(answer: Answer, usage: bool) -> dict[str, Any]:
    """The parts that are equal in all forms of the answer: all but the ids, which are new for each run."""
    what = dataclasses.asdict(answer)
    for name in ("id", "created", "role", *([] if usage else ["usage"])):
        del what[name]
    what["tool_calls"] = [(name, arguments) for _, name, arguments in answer.tool_calls]
    return what


async def check_all(front: Proxy, reasoning_field: str, prompt: str, **fields: Any) -> Answer:
    """Asks in every way, checks each answer, and that they agree; returns the whole one."""
    whole = read_whole(await front.chat(prompt, stream=False, **fields), reasoning_field)
    for include_usage in (True, False):
        options = {"include_usage": include_usage}
        received = await front.chat(prompt, stream_options=options, **fields)
        streamed = read_stream(received, include_usage, reasoning_field)
        if whole.error is not None:
            assert streamed.error == whole.error
        else:
            assert content_of(streamed, include_usage) == content_of(whole, include_usage)
        assert received.status in (200, 404, 429, 502, 503)
    plain = await front.chat(prompt, stream_options=None, **fields)
    if plain.status == 200:
        assert b'"usage"' not in plain.body
    return whole


@pytest.mark.parametrize("declared", DECLARED.values(), ids=DECLARED)
@pytest.mark.parametrize("name", sorted({*SCENARIOS} - {ENDLESS, *LARGE}))
async def test_a_scenario_is_answered_strictly_in_every_form(demo: Demo, name: str, declared: dict[str, Any]) -> None:
    await check_all(demo.proxy, "reasoning_content", tagged(name), **declared)


@pytest.mark.parametrize("name", LARGE)
async def test_a_large_scenario_is_answered_strictly_in_every_form(demo: Demo, name: str) -> None:
    await check_all(demo.proxy, "reasoning_content", tagged(name))


@pytest.mark.parametrize("reasoning_field", REASONING_FIELDS)
async def test_every_scenario_is_strict_whatever_reasoning_is_called(
    proxy: StartProxy, demo: Demo, reasoning_field: str
) -> None:
    front = await proxy(upstream=demo.url, reasoning_field=reasoning_field)
    for name in sorted({*SCENARIOS} - {ENDLESS, *LARGE}):
        answer = await check_all(front, reasoning_field, tagged(name))
        if name == "reasoning":
            assert (answer.reasoning == "") == (reasoning_field == "none")


@pytest.mark.parametrize("server_tools", ["hide", "reasoning", "content"])
@pytest.mark.parametrize("reasoning_field", ["reasoning_content", "both", "none"])
async def test_every_scenario_is_strict_wherever_its_tools_are_shown(
    proxy: StartProxy, demo: Demo, server_tools: str, reasoning_field: str
) -> None:
    front = await proxy(upstream=demo.url, server_tools=server_tools, reasoning_field=reasoning_field)
    for name in ("tool", "tool_parallel", "tool_unknown", "spawn", "max_ticks", "client_tool", "reasoning"):
        received = await front.chat(tagged(name), stream_options={"include_usage": True})
        check_stream(received.body, include_usage=True, reasoning_field=reasoning_field)
        check_body((await front.chat(tagged(name), stream=False)).body, reasoning_field=reasoning_field)


@pytest.mark.parametrize("declared", DECLARED.values(), ids=DECLARED)
async def test_silence_is_a_strict_error(proxy: StartProxy, demo: Demo, declared: dict[str, Any]) -> None:
    front = await proxy(upstream=demo.url, silence_timeout=0.1)
    for stream in (True, False):
        received = await front.chat(tagged(ENDLESS), stream=stream, **declared)
        assert (received.status, check_error_body(received.body)["code"]) == (504, "upstream_timeout")
    early = await proxy(upstream=demo.url, silence_timeout=0.1, first_event_wait=0)
    answer = check_stream((await early.chat(tagged(ENDLESS))).body, include_usage=False)
    assert (answer.role, answer.text) == ("assistant", "")
    assert answer.error is not None
    assert answer.error["code"] == "upstream_timeout"


async def test_a_round_of_a_tool_is_strict_at_both_ends(demo: Demo) -> None:
    """Items that a client echoes are accepted, and the next answer is strict again."""
    asked = {"role": "user", "content": "How is the weather?"}
    for stream in (True, False):
        received = await demo.proxy.chat(stream=stream, messages=[asked], **DECLARED["tools"])
        first = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
        assert first.finish_reason == "tool_calls"
        ((call_id, name, arguments),) = first.tool_calls
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        echoed = {"role": "assistant", "content": first.text or None, "tool_calls": [call], "refusal": None}
        result = {"role": "tool", "tool_call_id": call_id, "content": "sunny"}
        messages = [asked, {**echoed, "annotations": []}, result]
        received = await demo.proxy.chat(stream=stream, messages=messages, **DECLARED["tools"])
        second = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
        assert "sunny" in second.text
        assert second.finish_reason == "stop"


async def test_a_round_of_a_function_is_strict_at_both_ends(demo: Demo) -> None:
    asked = {"role": "user", "content": tagged("client_tool")}
    for stream in (True, False):
        received = await demo.proxy.chat(stream=stream, messages=[asked], functions=[FUNCTION])
        first = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
        assert (first.finish_reason, first.tool_calls) == ("function_call", [])
        assert first.function_call is not None
        name, arguments = first.function_call
        assert (name, json.loads(arguments)["city"]) == ("client_weather", "Paris")
        echoed = {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": arguments}}
        messages = [asked, echoed, {"role": "function", "name": name, "content": "sunny"}]
        received = await demo.proxy.chat(stream=stream, messages=messages, functions=[FUNCTION])
        second = check_stream(received.body, include_usage=False) if stream else check_body(received.body)
        assert ("sunny" in second.text, second.finish_reason) == (True, "stop")


# What the strictest reader of bytes would find, with an agent that does its worst


ODD = [
    "\u2028",
    "\u2029",
    "\u0085",
    "\r\n",
    "\n\n",
    "data: [DONE]\n\n",
    ": ping\n\n",
    "\x00",
    "🦉",
    "</script>",
    '"}]}',
    "\ufeff",
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_no_text_breaks_a_line_or_an_event(proxy: StartProxy, agent: Agent, odd: str) -> None:
    """By itself, inside a piece, and beside one without; as text, as thought, in a tool's name and arguments."""
    agent.plays(
        OPENING,
        frame("reasoning_delta", delta=f"{odd}thought{odd}"),
        text("one"),
        text(odd),
        text(f"t{odd}wo"),
        tool_call(f"call{odd}", "client_weather", json.dumps({odd: odd})),
        frame("tick_end", tick=1, shouldContinue=False),
        closing()[-1],
    )
    answer = await check_all(await proxy(), "reasoning_content", "Hi", **DECLARED["tools"])
    assert (answer.text, answer.reasoning) == (f"one{odd}t{odd}wo", f"{odd}thought{odd}")
    ((call_id, name, arguments),) = answer.tool_calls
    assert call_id.startswith(SHORT_PREFIX)  # what no client could take as an id
    assert (name, json.loads(arguments)) == ("client_weather", {odd: odd})


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_no_model_name_breaks_a_line_or_an_event(proxy: StartProxy, agent: Agent, odd: str) -> None:
    agent.plays(run("Hello"))
    answer = await check_all(await proxy(), "reasoning_content", "Hi", model=f"o{odd}wl".replace(":", ""))
    assert answer.model == f"o{odd}wl".replace(":", "")


async def test_escapes_of_the_agents_that_are_one_line_end_each_stay_escaped(proxy: StartProxy, agent: Agent) -> None:
    """A gateway may escape them, in either case of letters, or not: raw or escaped, they go out escaped."""
    forms = [
        r"\u2028",
        r"\u2029",
        r"\u0085",
        r"\u000A",
        r"\r",
        r"\/",
        r"\ud83e\udd89",
        r"\uD83E\uDD89",
        "\u2028",
        "\u0085",
    ]
    deltas = [
        b'data: {"type":"event","event":"content_delta","sessionId":"s","data":'
        b'{"type":"content_delta","blockType":"text","blockIndex":0,"delta":"' + form.encode() + b'"}}\n\n'
        for form in forms
    ]
    expected = "".join(json.loads(f'"{form}"') for form in forms)
    for steps in (deltas, [b"".join(deltas)]):
        agent.plays(OPENING, *steps, closing())
        assert (await check_all(await proxy(), "reasoning_content", "Hi")).text == expected


async def test_empty_pieces_are_no_chunks(proxy: StartProxy, agent: Agent) -> None:
    pieces = [frame("reasoning_delta", delta=""), text(""), text("one"), text(""), frame("reasoning_delta", delta="")]
    agent.plays(OPENING, *pieces, closing())
    raw = (await (await proxy()).chat()).body
    assert check_stream(raw, include_usage=False).text == "one"
    assert raw.count(b'"choices":[{') == 3, "role, text, finish"


@pytest.mark.parametrize("include_usage", [True, False])
async def test_usage_is_null_on_every_chunk_but_the_last_or_nowhere(
    proxy: StartProxy, agent: Agent, include_usage: bool
) -> None:
    agent.plays(run("one", "two"))
    received = await (await proxy()).chat(stream_options={"include_usage": include_usage})
    chunks = [json.loads(event[6:]) for event in received.body.decode().split("\n\n")[:-2]]
    if not include_usage:
        assert all("usage" not in chunk for chunk in chunks)
        return
    *others, last = chunks
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 18)


async def test_what_all_chunks_share_never_changes(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run(*(f"word{number} " for number in range(50))))
    received = await (await proxy()).chat(model="owl")
    chunks = [json.loads(event[6:]) for event in received.body.decode().split("\n\n")[:-2]]
    shared = {(each["id"], each["object"], each["created"], each["model"]) for each in chunks}
    ((name, kind, created, model),) = shared
    assert (kind, model, type(created)) == ("chat.completion.chunk", "owl", int)
    assert name.startswith("chatcmpl-")
    roles = [each["choices"][0]["delta"].get("role") for each in chunks]
    assert roles == ["assistant", *itertools.repeat(None, len(chunks) - 1)]


@pytest.mark.parametrize("declared", ["tools", "functions"])
async def test_content_is_null_beside_a_call_and_text_otherwise(proxy: StartProxy, agent: Agent, declared: str) -> None:
    end = [frame("tick_end", tick=1, shouldContinue=False), closing()[-1]]
    front = await proxy()
    for steps, content in [
        ([*tool_call("c1", "client_weather", '{"city":"Brest"}'), *end], None),
        ([text("Wait."), *tool_call("c1", "client_weather", '{"city":"Brest"}'), *end], "Wait."),
        ([text("No."), *closing()], "No."),
        (closing(), ""),
    ]:
        agent.plays(OPENING, steps)
        message = json.loads((await front.chat(stream=False, **DECLARED[declared])).body)["choices"][0]["message"]
        assert message["content"] == content
        assert (message["role"], message["refusal"], message["annotations"]) == ("assistant", None, [])
        first = (await front.chat(**DECLARED[declared])).body.split(b"\n\n")[0]
        delta = json.loads(first[6:])["choices"][0]["delta"]
        assert delta == {"role": "assistant", "content": None if content is None else "", "refusal": None}
