from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oaicompat_proxy.server.http import overload as refusal
from oaicompat_proxy.server.http.overload import OverloadResponse
from tests.support.conformance import check_error_body
from tests.support.proxy import Line


@asynccontextmanager
async def refusing() -> AsyncIterator[tuple[int, set[OverloadResponse]]]:
    """A port on which everybody is refused, and the connections that are open."""
    others: set[OverloadResponse] = set()
    server = await asyncio.get_running_loop().create_server(lambda: OverloadResponse(others), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], others
        async with asyncio.timeout(5):
            while others:  # noqa: ASYNC110 - a connection says nobody that it is gone
                await asyncio.sleep(0.01)


async def dial(port: int) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", port))


async def test_the_client_gets_the_reason_and_the_time_to_retry() -> None:
    async with refusing() as (port, _):
        line = await dial(port)
        await line.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, headers = await line.read_head()
        body = await line.read_to_end()
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (503, "2", "true")
        assert headers["content-length"] == str(len(body))
        assert headers["x-request-id"].startswith("req_")
        assert check_error_body(body)["code"] == "too_many_connections"
        await line.close()


async def test_who_says_nothing_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "REQUEST_WAIT", 0.05)
    async with refusing() as (port, _):
        line = await dial(port)
        assert await line.read_to_end() == b""
        await line.close()


async def test_there_is_no_crowd_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal, "MAX_OPEN", 2)
    async with refusing() as (port, others):
        lines = [await dial(port) for _ in range(5)]
        async with asyncio.timeout(5):
            while len(others) != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for line in lines:
            await line.close()
