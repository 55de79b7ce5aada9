"""Numbers that some agent's JSON parser cannot read: refused with their field where it is checked, in every API."""

from __future__ import annotations

import json

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, StartProxy
from tests.support.scripted_gateway import Agent, run

MESSAGES = '"messages":[{"role":"user","content":"Hi"}]'
BODIES = {
    CHAT: MESSAGES,
    "/v1/completions": '"prompt":"Hi"',
    "/v1/responses": '"model":"owl","input":"Hi"',
    "/v1/messages": f'"model":"owl","max_tokens":9,{MESSAGES}',
}
INTEGERS = {
    CHAT: "max_tokens max_completion_tokens n seed top_logprobs",
    "/v1/completions": "max_tokens n seed best_of logprobs",
    "/v1/responses": "max_output_tokens max_tool_calls top_logprobs",
    "/v1/messages": "max_tokens top_k thinking.budget_tokens",
}
DECIMALS = {
    CHAT: "temperature top_p frequency_penalty presence_penalty logit_bias.7",
    "/v1/completions": "temperature logit_bias.7",
    "/v1/responses": "temperature top_p",
    "/v1/messages": "temperature top_p",
}
BEYOND_64_BITS = [str(2**63), "1" * 5000, "-" + "1" * 5000]
BEYOND_A_DOUBLE = ["1e400", "-1e999", "1" * 305, "1" * 5000, "-" + "9" * 5000]
"""As many digits as a number may have, or more."""


def cases(fields: dict[str, str]) -> list[tuple[str, str]]:
    return [(path, field) for path, names in fields.items() for field in names.split()]


def body(path: str, field: str, number: str) -> bytes:
    name, _, member = field.partition(".")
    value = f'{{"{member}":{number},"type":"enabled"}}' if member == "budget_tokens" else number
    value = f'{{"{member}":{number}}}' if member == "7" else value
    return f'{{{BODIES[path]},"{name}":{value}}}'.encode()


async def refused(
    proxy: StartProxy, agent: Agent, path: str, field: str, number: str, told: str = "Input should be "
) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).post(body(path, field, number), path=path)
    assert received.status == 400, received.body
    assert agent.runs == []
    assert len(received.body) < 500
    if path == "/v1/messages":
        assert json.loads(received.body)["error"]["message"].startswith(f"{field}: {told}")
    else:
        assert check_error_body(received.body)["param"] == field


@pytest.mark.parametrize("number", BEYOND_64_BITS, ids=lambda number: number[:8])
@pytest.mark.parametrize(("path", "field"), cases(INTEGERS))
async def test_an_integer_has_64_bits(proxy: StartProxy, agent: Agent, path: str, field: str, number: str) -> None:
    await refused(proxy, agent, path, field, number)


@pytest.mark.parametrize("number", BEYOND_A_DOUBLE, ids=lambda number: number[:8])
@pytest.mark.parametrize(("path", "field"), cases(DECIMALS))
async def test_a_decimal_is_a_double(proxy: StartProxy, agent: Agent, path: str, field: str, number: str) -> None:
    await refused(proxy, agent, path, field, number)


BEYOND_ANY = ["1e309", "-1E+400", "1.8e308", "1" * 310, "-" + "9" * 5000, "9" * 200_000]
PLACES = ["%s", '{"a":[1,{"b":%s}]}', "[" * 100 + "%s" + "]" * 100, '["1e400",%s]']


@pytest.mark.parametrize("number", BEYOND_ANY, ids=lambda number: number[:8])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[:8])
@pytest.mark.parametrize("path", BODIES)
async def test_a_field_that_is_passed_on_has_doubles(
    proxy: StartProxy, agent: Agent, path: str, place: str, number: str
) -> None:
    """Go and Rust read no number beyond a double, Python no integer of 4300 digits: not a fault of the gateway."""
    await refused(proxy, agent, path, "mine", place % number, told="it has a number beyond the range of a double")


@pytest.mark.parametrize("value", ["1.7976931348623157e308", "1" * 309, "-" + "1" * 309, "1e-400", '"1e400"'])
@pytest.mark.parametrize("path", BODIES)
async def test_the_largest_double_is_passed_on(proxy: StartProxy, agent: Agent, path: str, value: str) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).post(body(path, "mine", value), path=path)
    assert received.status == 200, received.body
    assert f'"mine":{value}'.encode() in agent.runs[0].body


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
async def test_so_does_a_schema(proxy: StartProxy, agent: Agent, path: str) -> None:
    function = '{"name":"f","parameters":{"maximum":1e400}'
    tool = f'{{"type":"function","function":{function}}}}}' if path == CHAT else f'{{"type":"function",{function[1:]}}}'
    await refused(proxy, agent, path, "tools", f"[{tool}]")


async def test_a_number_that_is_not_passed_on_may_be_any(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    said = '{"model":"owl","input":[{"role":"user","content":"Hi","mine":1e400}],"temperature":0.5}'
    received = await (await proxy()).post(said.encode(), path="/v1/responses")
    assert received.status == 200, received.body


async def test_the_largest_integer_is_passed_on(proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    received = await (await proxy()).post(body(CHAT, "seed", str(2**63 - 1)))
    assert received.status == 200, received.body
    assert b'"seed":9223372036854775807' in agent.runs[0].body


LIMITS = ["0", "101", "000000005" + "0" * 5000, "000000005" + "9" * 9, "9" * 5000, "5" * 5000, "٣"]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit[:12])
async def test_the_limit_of_a_page_is_at_most_100(proxy: StartProxy, limit: str) -> None:
    front = await proxy()
    received = await front.request("POST", "/v1/conversations", json={})
    name = json.loads(received.body)["id"]
    received = await front.request("GET", f"/v1/conversations/{name}/items", params={"limit": limit})
    assert received.status == 400, received.body
    assert check_error_body(received.body)["param"] == "limit"
