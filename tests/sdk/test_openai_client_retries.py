"""The official client, its own retries, and a way to the proxy that breaks: the agent runs once.

With an `Idempotency-Key` (sent by `extra_headers`; the client repeats them) it gets its whole answer nevertheless.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest

from tests.support.proxy import Proxy, StartProxy
from tests.support.scripted_gateway import OPENING, Agent, closing, failure, run, text

KINDS = pytest.mark.parametrize("kind", ["blocking", "async"])
STREAM = pytest.mark.parametrize("stream", [True, False])
KEYED = {"Idempotency-Key": "order-66"}

Break = Callable[[asyncio.StreamReader], Awaitable[object]]
"""Waits, at the proxy's side of a connection, for the moment at which it breaks."""


class Way:
    """A way to the proxy on which the first connections break before the client has read anything."""

    def __init__(self, port: int, breaks: list[Break]) -> None:
        self._port = port
        self._breaks = breaks
        self.base = ""
        self.connections = 0
        self.mended = asyncio.Event()
        """A connection was made that does not break."""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        forth = asyncio.create_task(_copy(reader, back))
        try:
            if self._breaks:
                await self._breaks.pop(0)(there)
                writer.transport.abort()
            else:
                self.mended.set()
                await _copy(there, writer)
        finally:
            forth.cancel()
            await asyncio.wait([forth])
            for each in (writer, back):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextlib.asynccontextmanager
async def breaking(front: Proxy, *breaks: Break) -> AsyncIterator[Way]:
    way = Way(front.port, list(breaks))
    carrying: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying.add(asyncio.create_task(way.carry(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        way.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield way
        await asyncio.wait(carrying, timeout=5)


async def ask(kind: str, base: str, *, stream: bool, retries: int = 2, **fields: Any) -> str:
    """The text of the answer. Raises what the client raises."""
    how: dict[str, Any] = {"base_url": base, "api_key": "k", "max_retries": retries, "timeout": 20}
    question: dict[str, Any] = {
        "model": "owl",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": stream,
        **fields,
    }

    def block() -> str:
        with openai.OpenAI(**how) as client:
            answer: Any = client.chat.completions.create(**question)
            if not stream:
                return str(answer.choices[0].message.content)
            return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

    if kind == "blocking":
        return await asyncio.to_thread(block)
    async with openai.AsyncOpenAI(**how) as client:
        answer: Any = await client.chat.completions.create(**question)
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])


@KINDS
@STREAM
async def test_a_retry_joins_the_run_that_goes_on(proxy: StartProxy, agent: Agent, kind: str, stream: bool) -> None:
    """Two connections break when the agent has begun; it speaks when the third is there."""
    gate = asyncio.Event()
    agent.plays(OPENING, gate, text("All "), text("of it"), closing())

    async def when_it_runs(_: asyncio.StreamReader) -> None:
        await agent.until(lambda: agent.runs)
        await asyncio.sleep(0.02)

    async with breaking(await proxy(), when_it_runs, when_it_runs) as way:
        asking = asyncio.create_task(ask(kind, way.base, stream=stream, extra_headers=KEYED))
        await way.mended.wait()
        gate.set()
        assert await asking == "All of it"
    assert len(agent.runs) == 1


@KINDS
@STREAM
async def test_a_retry_gets_the_answer_that_was_lost_on_its_way(
    proxy: StartProxy, agent: Agent, kind: str, stream: bool
) -> None:
    agent.plays(run("All ", "of it"))

    async def when_all_was_sent(there: asyncio.StreamReader) -> None:
        await there.readuntil(b"[DONE]" if stream else b'"usage"')

    async with breaking(await proxy(), when_all_was_sent) as way:
        assert await ask(kind, way.base, stream=stream, extra_headers=KEYED) == "All of it"
        assert way.connections == 2
    assert len(agent.runs) == 1


@STREAM
async def test_without_a_key_a_broken_way_runs_the_agent_again(proxy: StartProxy, agent: Agent, stream: bool) -> None:
    """The purpose of the key: the client repeats by itself, and without the key the retry looks like a new request."""
    agent.plays(run("All ", "of it"))

    async def when_it_runs(_: asyncio.StreamReader) -> None:
        await agent.until(lambda: agent.runs)

    async with breaking(await proxy(), when_it_runs) as way:
        assert await ask("async", way.base, stream=stream) == "All of it"
    assert len(agent.runs) == 2


@KINDS
@STREAM
@pytest.mark.parametrize("keyed", [KEYED, {}], ids=["with a key", "without"])
async def test_no_error_of_a_run_makes_the_client_run_it_again(
    proxy: StartProxy, agent: Agent, kind: str, stream: bool, keyed: dict[str, str]
) -> None:
    agent.plays(OPENING, failure("429 Too many requests"))
    with pytest.raises(openai.RateLimitError):
        await ask(kind, f"{(await proxy()).base}/v1", stream=stream, extra_headers=keyed)
    assert len(agent.runs) == 1


@KINDS
@pytest.mark.parametrize("limit", ["first_event_timeout", "silence_timeout", "run_timeout"])
async def test_no_limit_of_time_makes_the_client_run_it_again(
    proxy: StartProxy, agent: Agent, kind: str, limit: str
) -> None:
    agent.plays("stall")
    front = await proxy(**{limit: 0.1})
    with pytest.raises(openai.InternalServerError) as raised:
        await ask(kind, f"{front.base}/v1", stream=False)
    assert raised.value.status_code == 504
    assert len(agent.runs) == 1


@KINDS
async def test_a_reused_key_is_a_conflict_and_not_repeated(proxy: StartProxy, agent: Agent, kind: str) -> None:
    agent.plays(run("Hello"))
    async with breaking(await proxy()) as way:
        await ask(kind, way.base, stream=False, extra_headers=KEYED)
        with pytest.raises(openai.ConflictError) as raised:
            await ask(kind, way.base, stream=False, extra_headers=KEYED, temperature=1)
        assert raised.value.code == "idempotency_key_reused"
        assert way.connections == 2
    assert len(agent.runs) == 1
