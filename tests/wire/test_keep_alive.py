"""What keeps a silent answer open: pings between events, before the first word too, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from typing import Any

import aiohttp
import pytest

from oaicompat_proxy.config.fields import ConfigError
from oaicompat_proxy.config.settings import Config
from tests.support.api_clients import CHAT_CLIENT, RESPONSES_CLIENT, ApiClient
from tests.support.conformance import PING as CHUNK
from tests.support.conformance import check_body, check_stream
from tests.support.message_parts import request
from tests.support.messages_conformance import check_message_stream
from tests.support.processes import nginx
from tests.support.prometheus_text import scrape
from tests.support.proxy import CHAT, Line, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, Step, closing, failure, frame, run, text

COMMENT = b": ping\n\n"
FORMS = pytest.mark.parametrize(("form", "ping"), [("chunk", CHUNK), ("comment", COMMENT)])
KEYS = pytest.mark.parametrize("key", [(), ("Idempotency-Key: k-1",)], ids=["without a key", "with a key"])


@KEYS
@FORMS
async def test_pings_come_before_the_first_word(
    proxy: StartProxy, agent: Agent, key: tuple[str, ...], form: str, ping: bytes
) -> None:
    """From the commit on, which waits for `first_event_wait` at most; the role comes before them."""
    gate = asyncio.Event()
    agent.plays(gate, run("Hello"))
    line = await (await proxy(first_event_wait=0.05, keep_alive=0.02, keep_alive_form=form)).dial()
    await line.post(chat_body(), version="1.0", headers=key)
    assert (await line.read_head())[0] == 200
    early = b"".join([await line.read_until(ping) for _ in range(5)])
    gate.set()
    body = early + await line.read_to_end()
    answer = check_stream(body, include_usage=False)
    assert (answer.text, answer.pings >= 5) == ("Hello", form == "chunk")
    assert b"Hello" not in early


@KEYS
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "both", "none"])
async def test_while_reasoning_goes_on_its_fields_stand_in_the_ping(
    proxy: StartProxy, agent: Agent, key: tuple[str, ...], field: str
) -> None:
    """The checker rejects a ping in another field, which would close a block of reasoning, or open one again."""
    thinking, speaking = asyncio.Event(), asyncio.Event()
    thought = frame("reasoning_delta", delta="Hm")
    agent.plays(OPENING, thought, thinking, thought, text("Hello"), speaking, text(" you"), closing())
    front = await proxy(keep_alive=0.02, reasoning_field=field, first_event_wait=0.01)
    line = await front.dial()
    await line.post(chat_body(), version="1.0", headers=key)
    await line.read_head()
    body = await line.read_until(b"Hm" if field != "none" else b"role")
    for _ in range(3):
        body += await line.read_until(CHUNK if field == "none" else b'":""},"logprobs":null')
    thinking.set()
    body += await line.read_until(b"Hello")
    for _ in range(3):
        body += await line.read_until(CHUNK)
    speaking.set()
    answer = check_stream(body + await line.read_to_end(), include_usage=False, reasoning_field=field)
    assert (answer.text, answer.reasoning) == ("Hello you", "" if field == "none" else "HmHm")
    assert answer.pings >= 6


async def test_stored_answers_hold_no_pings(proxy: StartProxy, agent: Agent) -> None:
    """Checked for chats, and for plain completions, whose first chunk is a ping."""
    for path, asked in ((CHAT, chat_body()), ("/v1/completions", b'{"prompt": "An owl", "stream": true}')):
        gate = asyncio.Event()
        agent.plays(OPENING, gate, text("Hello"), closing())
        front = await proxy(keep_alive=0.01, first_event_wait=0.01)
        line = await front.dial()
        await line.post(asked, path=path, version="1.0", headers=("Idempotency-Key: k-2",))
        await line.read_head()
        first = b"".join([await line.read_until(b'"finish_reason":null}]}\n\n') for _ in range(3)])
        gate.set()
        first += await line.read_to_end()
        stored = await front.post(asked, path=path, headers={"Idempotency-Key": "k-2"})
        expected = [b'"text":""', b'"delta":{}']
        assert sum(map(first.count, expected)) > sum(map(stored.body.count, expected)) == 1, (
            "the finish chunk says nothing"
        )
        assert stored.body.endswith(b"data: [DONE]\n\n")


async def test_pings_are_neither_counted_nor_a_first_word(proxy: StartProxy, agent: Agent) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    front = await proxy(keep_alive=0.01, first_event_wait=0.01)
    line = await front.dial()
    await line.post(chat_body(stream_options={"include_usage": True}), version="1.0")
    await line.read_head()
    body = b"".join([await line.read_until(b'"delta":{}') for _ in range(20)])
    gate.set()
    body += await line.read_to_end()
    answer = check_stream(body, include_usage=True)
    assert (answer.text, answer.pings >= 19) == ("Hello", True)
    assert answer.usage is not None
    assert (await scrape(front)).total("oaicompat_chunks_total") == len(["role", "Hello", "finish", "usage"])


async def quiet(line: Line, seconds: float) -> bool:
    """Whether nothing comes for so long."""
    try:
        async with asyncio.timeout(seconds):
            return not await line.read(1)
    except TimeoutError:
        return True


@KEYS
@pytest.mark.parametrize("ending", [closing(), [failure("Model exploded")]], ids=["well", "with an error"])
async def test_nothing_comes_behind_the_end(
    proxy: StartProxy, agent: Agent, ending: list[bytes], key: tuple[str, ...]
) -> None:
    """The connection is kept, and silent until the next request."""
    agent.plays(OPENING, text("Hello"), ending)
    line = await (await proxy(keep_alive=0.001)).dial()
    for _ in range(20):
        await line.post(chat_body(), headers=key)
        await line.read_head()
        assert (await line.read_chunks()).endswith(b"data: [DONE]\n\n")
    assert await quiet(line, 0.1)


@KEYS
@FORMS
async def test_a_ping_is_a_chunk_and_a_write_of_its_own(
    proxy: StartProxy, agent: Agent, key: tuple[str, ...], form: str, ping: bytes
) -> None:
    """Any number of keep-alives during an answer stand between events and between HTTP's chunks."""
    steps: list[Step] = []
    for number in range(200):
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(0.002 * number, gate.set)
        steps += [gate, text(f"{number} ")]
    agent.plays(OPENING, steps, closing())
    line = await (await proxy(keep_alive=0.001, keep_alive_form=form)).dial()
    await line.post(chat_body(), headers=key)
    await line.read_head()
    body = await line.read_chunks()
    assert body.count(ping) > 20
    others = body.replace(COMMENT, b"") if form == "comment" else body
    assert {event[:6] for event in others.split(b"\n\n") if event} == {b"data: "}
    assert check_stream(body, include_usage=False).text == "".join(f"{number} " for number in range(200))


@KEYS
async def test_no_ping_is_inside_json(proxy: StartProxy, agent: Agent, key: tuple[str, ...]) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(keep_alive=0.001, first_event_wait=0)).dial()
    await line.post(chat_body(stream=False), headers=(*key, "Connection: close"))
    await agent.until(lambda: agent.runs)
    assert await quiet(line, 0.1)
    gate.set()
    _, headers = await line.read_head()
    body = await line.read_to_end()
    assert len(body) == int(headers["content-length"])
    assert check_body(body).text == "Hello"


# OpenAI's Go client up to 3.42


@pytest.mark.parametrize("client", [CHAT_CLIENT, RESPONSES_CLIENT], ids=str)
async def test_each_block_is_an_event_with_data(proxy: StartProxy, agent: Agent, client: ApiClient) -> None:
    """That client reads the data of a block that has none, and wraps an event that it does not know by its name."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("Hello"), closing())
    line = await (await proxy(keep_alive=0.01, first_event_wait=0.01)).dial()
    await line.post(client.request("Hi", {}, stream=True), path=client.path, version="1.0")
    await line.read_head()
    body = b"".join([await line.read_until(b"\n\n") for _ in range(9)])
    gate.set()
    body += await line.read_to_end()
    for block in body.removesuffix(b"\n\n").split(b"\n\n"):
        *names, data = block.split(b"\n")
        assert data.startswith(b"data: ")
        assert all(name.startswith(b"event: response.") for name in names)


# Claude Code's patience

PATIENCE_OF_CLAUDE_CODE = 300
"""Seconds without a byte after which it asks again."""


async def test_a_message_is_never_silent_for_as_long_as_claude_code_waits(proxy: StartProxy, agent: Agent) -> None:
    """The clock is short: as many keep-alives as stand in Claude Code's 300 s, and more, all of them pings."""
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hello"), gate, closing())
    line = await (await proxy(keep_alive=0.01, first_event_wait=0.01)).dial()
    await line.post(request(model="default", stream=True), path="/v1/messages", version="1.0")
    await line.read_head()
    body = await line.read_until(b"text_delta")
    for _ in range(math.ceil(PATIENCE_OF_CLAUDE_CODE / Config(demo=True).keep_alive) + 1):
        body += await line.read_until(b"event: ping")
    gate.set()
    answer = check_message_stream(body + await line.read_to_end())
    assert (answer.text, answer.pings > 20) == ("Hello", True)


@pytest.mark.parametrize("seconds", [240, 241])
def test_no_setting_is_longer_than_claude_codes_patience(seconds: float) -> None:
    config: dict[str, Any] = {"demo": True, "keep_alive": seconds}
    with contextlib.nullcontext() if seconds <= 240 else pytest.raises(ConfigError, match="240"):
        assert Config(**config).keep_alive < PATIENCE_OF_CLAUDE_CODE


# Behind nginx


IMPATIENT = {"proxy_read_timeout 3600s;": "proxy_read_timeout 1s;"}
LONGER = 2.5
"""Seconds of silence that this nginx does not take."""


@KEYS
@pytest.mark.parametrize("silent", ["before the first word", "behind it"])
async def test_pings_outlast_nginxs_patience(
    proxy: StartProxy, agent: Agent, silent: str, key: tuple[str, ...]
) -> None:
    words = [text("Hello"), asyncio.Event()]
    agent.plays(OPENING, words if silent == "behind it" else words[::-1], closing())
    front = await proxy(first_event_wait=0.5, keep_alive=0.4)
    asyncio.get_running_loop().call_later(LONGER, words[1].set)  # type: ignore[union-attr]
    with nginx(front.port, instead=IMPATIENT) as base:
        body = await _ask(base, key)
    assert len(re.findall(re.escape(CHUNK), body)) >= 4
    assert check_stream(body, include_usage=False).text == "Hello"


async def test_without_them_nginx_breaks_the_answer_off(proxy: StartProxy, agent: Agent) -> None:
    """The counterpart of the test above; the run is stopped, too."""
    agent.plays(OPENING, text("Hello"), "stall")
    front = await proxy(keep_alive=60)
    with nginx(front.port, instead=IMPATIENT) as base, pytest.raises(aiohttp.ClientPayloadError):
        await _ask(base, ())
    await agent.until(lambda: agent.runs[0].outcome == "left")


async def _ask(base: str, key: tuple[str, ...]) -> bytes:
    headers = dict(line.split(": ") for line in key)
    async with (
        aiohttp.ClientSession() as client,
        client.post(base + CHAT, data=chat_body(), headers=headers) as response,
    ):
        assert response.status == 200
        return await response.read()
