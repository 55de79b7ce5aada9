"""Follows each run like the inspector's page: `python -m benchmark.load.watcher ADDRESS`.

The list is followed until a run goes on, then the list and that run. Says `watches` once it has its first answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import click

MOST = 64 * 1024 * 1024
"""Bytes of one event."""


async def watch(address: str) -> None:
    """Runs until the proxy ends."""
    query = ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), read_bufsize=MOST) as client:
        while True:
            async with client.get(f"{address}/inspect/api/events{query}") as answer:
                answer.raise_for_status()
                query = await _next_run(answer.content, query)


async def _next_run(stream: aiohttp.StreamReader, query: str) -> str:
    """Waits for another active run; returns the query that follows it."""
    while True:
        event, _, data = (await stream.readuntil(b"\n\n")).decode().strip().partition("\n")
        if event == "event: state":
            click.echo("watches")
        if event != "event: runs":
            continue
        going = [_query_of(row) for row in json.loads(data.removeprefix("data: "))["runs"] if row["state"] == "running"]
        if going and going[-1] != query:
            return going[-1]


def _query_of(row: dict[str, Any]) -> str:
    return f"?run={row['id']}"


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1]))
