from __future__ import annotations

import asyncio

import pytest

from tests.support.conformance import check_body, check_stream
from tests.support.demo import Demo
from tests.support.proxy import CHAT, StartProxy, chat_body
from tests.support.scripted_gateway import Agent, Reply, run, serving


@pytest.mark.parametrize("prefix", ["", "/api", "/open/ai/v3"])
async def test_every_endpoint_stands_behind_the_prefix(proxy: StartProxy, agent: Agent, prefix: str) -> None:
    agent.plays(run("Hello"))
    front = await proxy(prefix=prefix, model={"demo": ""})
    assert (await front.post(chat_body(), path=f"{prefix}/chat/completions")).status == 200
    assert (await front.get(f"{prefix}/models")).status == 200
    assert (await front.get(f"{prefix}/models/demo")).status == 200
    assert (await front.post(chat_body())).status == 404
    assert (await front.get("/healthz")).status == 200


async def test_proxies_in_one_process_share_nothing(proxy: StartProxy, agent: Agent) -> None:
    async with serving() as other:
        agent.plays(run("from the first"))
        other.plays(run("from the second"))
        fronts = [await proxy(), await proxy(upstream=other.url)]
        received = await asyncio.gather(*(front.chat(stream=False) for front in fronts))
        assert [check_body(each.body).text for each in received] == ["from the first", "from the second"]
        await other.until(lambda: not other.left_behind)


@pytest.mark.usefixtures("wire")
async def test_the_demo_answers_socket_to_socket(demo: Demo) -> None:
    received = await demo.proxy.chat("Add 19 and 23", stream_options={"include_usage": True})
    answer = check_stream(received.body, include_usage=True)
    assert "The sum of 19 and 23 is 42." in answer.text
    assert answer.tool_calls == []
    assert answer.usage is not None


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("stream", [True, False])
async def test_the_demos_agent_stops_when_the_client_leaves(demo: Demo, stream: bool) -> None:
    line = await demo.proxy.dial()
    await line.post(chat_body("[[scenario:silent]]", stream=stream))
    await demo.gateway_state.wait_until(lambda gateway_state: bool(list(gateway_state.sessions)))
    await line.close()
    async with asyncio.timeout(5):
        await demo.gateway_state.wait_until(lambda gateway_state: not list(gateway_state.sessions))


async def test_a_gateway_at_another_address_than_the_configured_one(agent: Agent) -> None:
    """As with the demo agent, whose port is known only when it listens."""
    import aiohttp

    from oaicompat_proxy.config.settings import Config
    from oaicompat_proxy.server.app import create_app
    from oaicompat_proxy.server.process.serve import listening

    agent.replies("/send", Reply(run("Hello")))
    config = Config(demo=True, port=0)
    async with (
        listening(create_app(config, upstream=agent.url), config) as port,
        aiohttp.ClientSession() as client,
        client.post(f"http://127.0.0.1:{port}{CHAT}", data=chat_body()) as response,
    ):
        assert check_stream(await response.read(), include_usage=False).text == "Hello"
