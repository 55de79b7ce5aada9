"""Requests to the inspector's API, as its page makes them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.proxy import Proxy, Received
from tests.support.scripted_gateway import PATIENCE

API = "/inspect/api"


async def ask(front: Proxy, path: str = "/runs", **how: Any) -> Any:
    """A JSON answer of the inspector."""
    return json.loads((await front.request("GET", API + path, **how)).body)


async def rows(front: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(front))["runs"]
    return found


async def until_row(front: Proxy, **wanted: Any) -> dict[str, Any]:
    """Waits for a run whose row has these values; returns the row."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for row in await rows(front):
                if wanted.items() <= row.items():
                    return row
            await asyncio.sleep(0.01)


async def post(front: Proxy, path: str, **headers: str) -> Received:
    """A POST request as the page sends it; `headers` are added."""
    return await front.request("POST", f"/inspect{path}", headers={"Origin": front.base, **headers})


class Events:
    """A reader of the event stream."""

    def __init__(self, front: Proxy, query: str = "", **headers: str) -> None:
        self._asking = front.client.get(f"{front.base}{API}/events{query}", headers=headers)

    async def __aenter__(self) -> Events:
        self._response = await self._asking.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._response.close()

    async def to_end(self) -> None:
        """Returns when the server ends the stream."""
        async with asyncio.timeout(PATIENCE):
            while await self._response.content.readany():
                pass

    async def next(self, name: str) -> Any:
        """The data of the next event of this name."""
        async with asyncio.timeout(PATIENCE):
            while True:
                block = await self._response.content.readuntil(b"\n\n")
                event, _, data = block.decode().strip().partition("\n")
                if event == f"event: {name}":
                    return json.loads(data.removeprefix("data: "))
