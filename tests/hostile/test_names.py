"""What clients make up is as long as a name may be, is cut where it is logged, and is no label of a metric."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.conformance import check_error_body
from tests.support.proxy import CHAT, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, run

COMPLETIONS = "/v1/completions"
TOO_LONG = "n" * 257


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("field", ["model", "user"])
async def test_a_model_and_a_user_have_a_length(proxy: StartProxy, agent: Agent, path: str, field: str) -> None:
    front = await proxy(model={"*": ""})
    agent.plays(run("Hello"))
    fits = await front.post(chat_body(prompt="Hi", **{field: TOO_LONG[1:]}), path=path)
    assert fits.status == 200
    refused = await front.post(chat_body(prompt="Hi", **{field: TOO_LONG}), path=path)
    assert refused.status == 400
    error = check_error_body(refused.body)
    assert (error["param"], error["code"]) == (field, "string_above_max_length")
    assert len(refused.body) < 400


@pytest.mark.parametrize(
    ("settings", "headers", "fields"),
    [
        ({}, {"X-Session-Id": TOO_LONG}, {}),
        ({"session_from": ("header:X-Chat",)}, {"X-Chat": TOO_LONG}, {}),
        ({"session_from": ("metadata.session_id",)}, {}, {"metadata": {"session_id": TOO_LONG}}),
        ({"session_from": ("prompt_cache_key",)}, {}, {"prompt_cache_key": TOO_LONG}),
    ],
)
async def test_a_sessions_name_has_a_length(
    proxy: StartProxy, agent: Agent, settings: dict[str, Any], headers: dict[str, str], fields: dict[str, Any]
) -> None:
    refused = await (await proxy(**settings)).post(chat_body(**fields), headers=headers)
    assert refused.status == 400
    assert check_error_body(refused.body)["code"] == "string_above_max_length"
    assert agent.runs == []


async def test_no_name_that_a_pattern_takes_is_a_metric(proxy: StartProxy, agent: Agent) -> None:
    front = await proxy(model={"owl-*": "", "crow": ""})
    agent.plays(run("Hello"))
    for number in range(60):
        assert (await front.chat(model=f"owl-{number}-made-up")).status == 200
    assert (await front.chat(model="crow")).status == 200
    metrics = (await front.get("/metrics")).body
    assert b"made-up" not in metrics
    assert b'gen_ai_request_model="other"' in metrics
    assert b'gen_ai_request_model="crow"' in metrics


async def test_what_is_long_is_cut_in_logs_and_messages(
    proxy: StartProxy, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    front = await proxy()
    long = "p" * 3500
    received = await front.request("GET", f"/{long}?{long}", headers={"User-Agent": long})
    assert received.status == 404
    assert len(received.body) < 1000
    assert "p" * 600 not in caplog.text
