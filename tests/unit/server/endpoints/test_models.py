from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from oaicompat_proxy.core.model_info import ModelInfo
from tests.support.conformance import check_error_body
from tests.support.proxy import Proxy, Received, StartProxy
from tests.support.scripted_gateway import Agent, Reply, answer, failure


def apps(*names: str) -> Reply:
    """The apps of a newer gateway; the first one is its default."""
    return answer({"apps": [{"id": name, "name": name.title(), "isDefault": name == names[0]} for name in names]})


def refusal(*names: str) -> Reply:
    """How the current gateway, which has no list, names its apps."""
    return Reply([failure(f'Unknown app "x". Available: {", ".join(names)}')])


def names_in(received: Received) -> list[str]:
    assert received.status == 200, received.body
    listed = json.loads(received.body)
    assert listed.keys() == {"object", "data"}
    assert listed["object"] == "list"
    return [checked_model(each)["id"] for each in listed["data"]]


def checked_model(model: dict[str, Any]) -> dict[str, Any]:
    assert model.keys() == {"id", "object", "created", "owned_by", "supported_endpoints", "name", "description"}
    assert model["supported_endpoints"] == ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
    assert model["object"] == "model"
    assert type(model["created"]) is int
    assert model["owned_by"]
    return model


async def test_models_are_the_apps_of_a_gateway_that_lists_them(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("demo", "coder"))
    assert names_in(await (await proxy()).get("/v1/models")) == ["demo", "coder", "default"]


async def test_models_are_the_apps_that_a_gateway_without_a_list_names(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/send", refusal("demo", "coder"))
    assert names_in(await (await proxy()).get("/v1/models")) == ["demo", "coder", "default"]
    assert agent.runs == [], "nothing was run to find out"


async def test_configured_models_come_first(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("demo"))
    front = await proxy(model={"gpt-4o": "demo", "mini": ""})
    assert names_in(await front.get("/v1/models")) == ["gpt-4o", "mini", "demo", "default"]


async def test_configured_models_are_listed_without_a_gateway(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", Reply(["cut"], framing="raw"))
    agent.replies("/send", Reply(["cut"], framing="raw"))
    assert names_in(await (await proxy(model={"gpt-4o": "demo"})).get("/v1/models")) == ["gpt-4o", "default"]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(["cut"], framing="raw"), 502),
        (answer({"error": "Authentication failed"}, 401), 502),
        (answer({"error": "Internal server error"}, 500), 502),
        (Reply([b"<html>"], content_type="text/html"), 502),
    ],
)
async def test_without_a_list_the_reason_is_shown(proxy: StartProxy, agent: Agent, reply: Reply, status: int) -> None:
    agent.replies("/invoke", reply)
    agent.replies("/send", reply)
    received = await (await proxy()).get("/v1/models")
    assert received.status == status
    assert check_error_body(received.body)["type"] == "server_error"


async def test_models_were_created_when_the_proxy_began(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("demo", "coder"))
    front = await proxy()
    lists = [json.loads((await front.get("/v1/models")).body)["data"] for _ in range(2)]
    assert len({model["created"] for listed in lists for model in listed}) == 1


@pytest.mark.parametrize("name", ["demo", "default", "team/coder", "größe", "a b+c%2F"])
async def test_a_model_is_found_by_its_name(proxy: StartProxy, agent: Agent, name: str) -> None:
    agent.replies("/invoke", apps("demo", "team/coder", "größe", "a b+c%2F"))
    front = await proxy()
    received = await front.request("GET", f"/v1/models/{quote(name, safe='')}")
    assert checked_model(json.loads(received.body))["id"] == name


async def test_a_slash_in_a_name_need_not_be_escaped(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("team/coder"))
    received = await (await proxy()).get("/v1/models/team/coder")
    assert json.loads(received.body)["id"] == "team/coder"


@pytest.mark.parametrize("name", ["nope", "demo/", "Demo", "x" * 3000])
async def test_an_unknown_model_is_not_found(proxy: StartProxy, agent: Agent, name: str) -> None:
    agent.replies("/invoke", apps("demo"))
    received = await (await proxy()).get(f"/v1/models/{name}")
    error = check_error_body(received.body)
    assert (received.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert len(error["message"]) < 1000


async def model_entry(front: Proxy, name: str) -> dict[str, Any]:
    """The entry of a model in the list, without the fields that all share; the model alone has the same."""
    listed = json.loads((await front.get("/v1/models")).body)["data"]
    (model,) = (each for each in listed if each["id"] == name)
    assert json.loads((await front.get(f"/v1/models/{name}")).body) == model
    return {key: model[key] for key in model.keys() - {"id", "object", "created", "owned_by", "supported_endpoints"}}


DESCRIBED = answer(
    {
        "apps": [
            {"id": "demo", "name": "Demo", "description": "Shows it", "isDefault": True},
            {"id": "coder", "name": "Coder", "description": "Writes code", "isDefault": False},
        ]
    }
)
"""The apps of a gateway that describes them."""


@pytest.mark.parametrize(
    ("model", "model_info"),
    [
        ("demo", {"name": "Demo", "description": "Shows it"}),
        ("default", {"name": "default", "description": "Shows it"}),
        ("gpt-4o", {"name": "gpt-4o", "description": "Writes code"}),
        ("mini", {"name": "mini", "description": "Shows it"}),
        ("gone", {"name": "gone", "description": ""}),
    ],
)
async def test_a_model_is_what_the_gateway_says(
    proxy: StartProxy, agent: Agent, model: str, model_info: dict[str, str]
) -> None:
    agent.replies("/invoke", DESCRIBED)
    front = await proxy(model={"gpt-4o": "coder", "mini": "", "gone": "nowhere"})
    assert await model_entry(front, model) == model_info


async def test_the_settings_win_over_the_gateway_and_names_over_patterns(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", DESCRIBED)
    infos = {
        "coder": ModelInfo(description="Reviews"),
        "*": ModelInfo(description="An agent", context_length=1000),
        "co*": ModelInfo(context_length=2000),
    }
    front = await proxy(model_info=infos)
    about_coder = await model_entry(front, "coder")
    assert (about_coder["name"], about_coder["description"]) == ("Coder", "Reviews")
    assert about_coder["context_length"] == about_coder["max_model_len"] == 2000
    about_demo = await model_entry(front, "demo")
    assert (about_demo["description"], about_demo["context_length"]) == ("An agent", 1000)


async def test_the_official_clients_read_what_a_model_is(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", DESCRIBED)
    info = ModelInfo("", "Reviews", 200_000, 32_000, ("text", "image"), True)
    front = await proxy(model_info={"coder": info})
    async with AsyncOpenAI(base_url=f"{front.base}/v1", api_key="any") as client:
        listed = [each async for each in client.models.list()]
        model = await client.models.retrieve("coder")
        assert model in listed
        assert model.model_extra is not None
        assert model.model_extra["top_provider"] == {"context_length": 200_000, "max_completion_tokens": 32_000}
        assert model.model_extra["architecture"]["input_modalities"] == ["text", "image"]
    async with AsyncAnthropic(base_url=front.base, api_key="any") as claude:
        about = await claude.models.retrieve("coder")
        assert (about.display_name, about.max_input_tokens, about.max_tokens) == ("Coder", 200_000, 32_000)


async def test_models_answer_head(proxy: StartProxy, agent: Agent) -> None:
    agent.replies("/invoke", apps("demo"))
    received = await (await proxy()).request("HEAD", "/v1/models")
    assert (received.status, received.body) == (200, b"")
