"""Fields that `api/openai/README.md` calls passed on arrive at the agent as they were written, whatever their JSON."""

from __future__ import annotations

import json

import pytest

from tests.support.proxy import CHAT, StartProxy
from tests.support.scripted_gateway import Agent, Reply, run

VALUES = [
    "18446744073709551616",
    "-123456789012345678901234567890",
    "1" * 308,
    "0.1234567890123456789012345",
    "0." + "1" * 5000,
    "1e308",
    "-1E-400",
    "-0",
    "-0.0",
    '"half \\ud83d"',
    '{"a":[1e300,{"é \\"\\\\":"😀"}],"a":2.50000000000000000001}',
    "[" * 100 + "1e-999" + "]" * 100,
    "[9007199254740993,1.0,null,true]",
]
SAID = '"messages":[{"role":"user","content":"Grüße 😀"}]'


def ascii_of(value: str) -> str:
    return json.dumps(value, ensure_ascii=True)[1:-1].replace('\\"', '"').replace("\\\\", "\\")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:24])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, "{%s,%s}"),
        (CHAT, '{%s,\n %s , "top_k": 5, "user": null}'),
        ("/v1/completions", '{"prompt":"Hi","x":"%.0s",%s}'),
    ],
    ids=["chat", "spaced", "completions"],
)
async def test_an_unknown_field(proxy: StartProxy, agent: Agent, value: str, path: str, body: str) -> None:
    agent.plays(run("Hello"))
    sent = body % (SAID, f'"mine":{value}')
    received = await (await proxy()).post(sent.encode(), path=path)
    assert received.status == 200, received.body
    assert f'"mine":{ascii_of(value)}'.encode() in agent.runs[0].body
    assert agent.runs[0].body.isascii()
    json.loads(agent.runs[0].body, parse_int=str)


@pytest.mark.parametrize(
    "field",
    [
        '"seed":-9223372036854775808',
        '"logit_bias":{"1":0.12345678901234567890}',
        '"metadata":{"k":"\\ud83d"}',
        '"temperature":1.00000000000000000001',
        '"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"maximum":1e308}}}',
    ],
)
async def test_a_field_that_is_checked(proxy: StartProxy, agent: Agent, field: str) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).post(f"{{{SAID},{field}}}".encode())
    assert received.status == 200, received.body
    assert field.encode() in agent.runs[0].body


SCHEMA = '{"type":"object","properties":{"id":{"type":"integer","maximum":18446744073709551616}}}'
DECLARED = [
    '"tools":[{"type":"custom","custom":{"name":"free"}},{"type":"function","function":{"name":"tide","parameters":%s}},'
    '{"type":"function","function":{"name":"now"}}]',
    '"functions":[{"name":"tide","parameters":%s},{"name":"now"}]',
]


@pytest.mark.parametrize("declared", DECLARED, ids=["tools", "functions"])
@pytest.mark.parametrize("dialect", ["agentick", "ag-ui"])
async def test_a_tools_schema(proxy: StartProxy, agent: Agent, dialect: str, declared: str) -> None:
    agent.plays(run("Hello"))
    agent.replies("/harbor", Reply([], 404))
    upstream = agent.url if dialect == "agentick" else f"{agent.url}/harbor"
    front = await proxy(dialect=dialect, upstream=upstream)
    await front.post(f"{{{SAID},{declared % SCHEMA}}}".encode())
    assert f'"name":"tide","description":"","parameters":{SCHEMA}'.encode() in agent.exchanges[0].body.replace(
        b'"tide","parameters"', b'"tide","description":"","parameters"'
    )


async def test_an_agents_own_props(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/harbor", Reply([], 404))
    front = await proxy(dialect="ag-ui", upstream=f"{agent.url}/harbor")
    await front.post(f'{{{SAID},"mine":1e308}}'.encode())
    assert b'"forwardedProps":{"openai":{"mine":1e308}}' in agent.exchanges[0].body


@pytest.mark.parametrize(
    "arguments", ['{"id":18446744073709551616}', '{"x":1e400}', '{"a":1,"a":2}', '{"s":"\\ud83d"}']
)
async def test_an_earlier_calls_arguments(proxy: StartProxy, agent: Agent, arguments: str) -> None:
    """Where an agent takes them as JSON, not as text."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    agent.plays(run("Hello"))
    front = await proxy(history="full")
    assert (await front.post(json.dumps({"messages": messages}).encode())).status == 200
    assert f'"input":{arguments}'.encode() in agent.runs[0].body


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "01", "0x10", "1_000", "undefined"])
async def test_what_is_no_json_is_refused(proxy: StartProxy, agent: Agent, value: str) -> None:
    received = await (await proxy()).post(f'{{{SAID},"mine":{value},"other":1e400}}'.encode())
    assert received.status == 400
    assert b"could not parse the JSON body" in received.body
    assert not agent.runs
