"""Requests of the Responses API that are large or odd: refused with the field, nothing run, in linear time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.api.openai.responses.request import request
from oaicompat_proxy.core.errors import ProxyError
from oaicompat_proxy.core.request import RequestLimits
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import PATIENCE, Agent, answer, run

RESPONSES = "/v1/responses"
USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "tide", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "4 m"}


@pytest.fixture
async def front(agent: Agent, proxy: StartProxy) -> Proxy:
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    return await proxy()


def body_of(given: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "owl", "input": given, **fields}).encode()


def deep(levels: int) -> bytes:
    return b'{"model":"owl","input":[{"role":"user","content":' + b"[" * levels + b"]" * levels + b"}]}"


BAD: dict[str, tuple[bytes, int, str | None, str | None]] = {
    "no item": (body_of([{"type": "thought"}]), 400, "input[0].type", "invalid_value"),
    "a type that is no word": (body_of([{"type": 1, "role": "user"}]), 400, "input[0].type", "invalid_type"),
    "nothing but an object": (body_of([{}]), 400, "input[0].type", "missing_required_parameter"),
    "an output without its call": (body_of([USER, OUTPUT]), 400, "input[1].call_id", None),
    "an approval without its question": (
        body_of([USER, {"type": "mcp_approval_response", "approval_request_id": "mcpr_x", "approve": True}]),
        400,
        "input",
        "confirmation_unknown",
    ),
    "a conversation and a previous response": (
        body_of("Hi", previous_response_id="resp_x", conversation="conv_x"),
        400,
        "conversation",
        "mutually_exclusive_parameters",
    ),
    "a call without its output": (body_of([USER, CALL, USER]), 400, "input[1].call_id", None),
    "calls that contradict": (
        body_of([USER, CALL, {**CALL, "name": "moon"}, OUTPUT]),
        400,
        "input[2].call_id",
        None,
    ),
    "an unknown reference": (body_of([{"type": "item_reference", "id": "msg_x"}]), 404, "input[0].id", None),
    "a reference without a type": (body_of([{"id": "\ud800"}]), 404, "input[0].id", None),
    "an approval of nothing": (
        body_of([{"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}]),
        400,
        "input[0].approval_request_id",
        "invalid_value",
    ),
    "no message": (body_of([{"type": "reasoning", "id": "rs_1", "summary": []}]), 400, "input", "invalid_value"),
    "an unknown response": (
        body_of("Hi", previous_response_id="resp_x"),
        400,
        "previous_response_id",
        "previous_response_not_found",
    ),
    "a long id": (
        body_of("Hi", previous_response_id="r" * 100_000),
        400,
        "previous_response_id",
        "previous_response_not_found",
    ),
    "ten thousand items": (body_of([USER] * 10_000), 400, "input", "array_above_max_length"),
    "ten thousand references": (
        body_of([{"type": "item_reference", "id": f"msg_{number:036x}"} for number in range(10_000)]),
        400,
        "input",
        "array_above_max_length",
    ),
    "ten thousand parts": (
        body_of([{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 10_000}]),
        400,
        "input",
        "array_above_max_length",
    ),
    "deep nesting": (deep(100_000), 400, None, None),
    "nesting that fits": (deep(50), 400, "input[0].content[0]", "invalid_type"),
    "more than is taken": (b" " * (32 * 1024 * 1024 + 1), 413, None, "request_too_large"),
    "a text of 31 MB": (body_of("x" * (31 * 1024 * 1024)), 400, "input", "string_above_max_length"),
}


async def refused(agent: Agent, front: Proxy, body: bytes, headers: dict[str, str] | None = None) -> Received:
    received = await front.request("POST", RESPONSES, data=io.BytesIO(body), headers=headers)
    assert not agent.runs
    return received


@pytest.mark.parametrize("name", BAD)
async def test_it_is_refused_with_its_field(agent: Agent, front: Proxy, name: str) -> None:
    body, status, param, code = BAD[name]
    received = await refused(agent, front, body)
    error = check_error_body(received.body)
    assert (received.status, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    if code is not None:
        assert error["code"] == code
    assert len(error["message"]) < 2000


async def test_nothing_is_left_of_it(agent: Agent, front: Proxy) -> None:
    """The next request is served, and finds nothing of the bad ones."""
    for body, *_ in BAD.values():
        async with aiohttp.ClientSession() as client:  # whose connection is used once
            await client.post(front.base + RESPONSES, data=io.BytesIO(body))
    received = await front.post(body_of("Hi"), path=RESPONSES)
    assert json.loads(received.body)["status"] == "completed"
    assert len(agent.runs) == 1


ROUTES = [("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]


async def test_all_missing_answers_are_refused_in_the_same_words(
    agent: Agent, proxy: StartProxy, tmp_path: Path
) -> None:
    """As a previous answer, and by their id."""
    agent.plays(run("Hello"))
    agent.replies("/invoke", answer({"apps": [{"id": "owl"}]}))
    keys: dict[str, Any] = {"api_key": ("alice", "bob")}
    front = await proxy(**keys)
    brief = await proxy(**keys, response_db=str(tmp_path / "responses.db"), response_ttl=0.1)
    alice, bob = ({"Authorization": f"Bearer {name}"} for name in ("alice", "bob"))

    async def new_answer(front: Proxy) -> str:
        received = await front.post(body_of("Hi", store=True), path=RESPONSES, headers=alice)
        return str(json.loads(received.body)["id"])

    foreign, deleted, expired = await new_answer(front), await new_answer(front), await new_answer(brief)
    await front.request("DELETE", f"{RESPONSES}/{deleted}", headers=alice)
    async with asyncio.timeout(PATIENCE):
        while (await brief.request("GET", f"{RESPONSES}/{expired}", headers=alice)).status == 200:
            pass
    runs, errors = len(agent.runs), set()
    for where, answer_id, headers in (
        (front, foreign, bob),
        (front, deleted, alice),
        (brief, expired, alice),
        (front, "resp_x", alice),
    ):
        received = await where.post(body_of("Hi", previous_response_id=answer_id), path=RESPONSES, headers=headers)
        error = check_error_body(received.body)
        errors.add((received.status, error["param"], error["code"], error["message"].replace(answer_id, "ID")))
        for method, below in ROUTES:
            received = await where.request(method, f"{RESPONSES}/{answer_id}{below}", headers=headers)
            error = check_error_body(received.body)
            errors.add((received.status, error["param"], error["code"], error["message"].replace(answer_id, "ID")))
    assert errors == {
        (400, "previous_response_id", "previous_response_not_found", "Previous response with id 'ID' not found."),
        (404, "response_id", None, "Response with id 'ID' not found."),
    }
    assert len(agent.runs) == runs


# Work by the size of the input

LIMITS = RequestLimits(media=1 << 30, messages=50_000, parts=50_000, text=1 << 30, values=2_000_000)

GROWING: dict[str, Any] = {
    "messages": lambda count: [USER] * count,
    "references": lambda count: [{"type": "item_reference", "id": f"msg_{each}"} for each in range(count)],
    "calls": lambda count: [
        each
        for number in range(count // 2)
        for each in ({**CALL, "call_id": str(number)}, {**OUTPUT, "call_id": str(number)})
    ],
    "one call and one output again and again": lambda count: [USER, *[CALL] * (count // 2), *[OUTPUT] * (count // 2)],
    "unanswered calls": lambda count: [{**CALL, "call_id": str(number)} for number in range(count)],
    "items of no type": lambda count: [{"type": "thought"}] * count,
    "parts": lambda count: [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * count}],
    "reasoning": lambda count: [USER, *[{"type": "reasoning", "id": "rs", "summary": []}] * count],
    "a text": lambda count: "x" * (count * 100),
}


@pytest.mark.parametrize("kind", GROWING)
def test_the_work_grows_with_the_input_and_no_faster(kind: str) -> None:
    def took(count: int) -> float:
        body = body_of(GROWING[kind](count))
        start = time.process_time()
        with contextlib.suppress(ProxyError):
            request.build_request(request.read(body, LIMITS), LIMITS)
        return time.process_time() - start

    small, large = (min(took(count) for _ in range(3)) for count in (1000, 16_000))
    assert large < 16 * 6 * max(small, 0.001), "by the square it would be 256 times as much"
