"""A process that has one store of the proxy's responses: it fills the store, and looks responses up.

Its arguments are the kind of the store, where it is, the number of responses, `fill` if it is empty, and `few` to look
for a few of them only. It reads numbers of look-ups from its input, a line each, and says when they are done.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from oaicompat_proxy.server.answer_stores.answer_database import AnswerDatabase
from oaicompat_proxy.server.answer_stores.memory_answers import MemoryAnswers
from oaicompat_proxy.server.answer_stores.redis_answers import RedisAnswers
from oaicompat_proxy.server.answer_stores.stored_answers import Bounds, StoredAnswers
from oaicompat_proxy.server.shared_storage import redis_client

CALLERS = 10
BODY, INPUT = b"r" * 2000, b"i" * 500
"""A short answer with the fields of its request, and its input."""
MOST = 1024 * 1024
FEW = 50


def name_of(number: int) -> tuple[str, str]:
    """The caller of a response, and its id."""
    return f"caller {number % CALLERS}", f"resp_{number:032x}"


async def run(kind: str, place: str, responses: int, *, fill: bool, few: bool) -> None:
    store = _open(kind, place, responses)
    before = await _memory(kind, place)
    if fill:
        for number in range(responses):
            scope, name = name_of(number)
            await store.add(scope, {f"{name}/input": INPUT, name: BODY})
    click.echo(json.dumps({"memory": await _memory(kind, place) - before}))
    looked_for = range(responses - FEW if few else 0, responses)
    kept = [number for number in looked_for if await _find(store, number)]
    click.echo(json.dumps({"kept": len(kept)}))
    for line in sys.stdin:
        for step in range(int(line)):
            await _find(store, kept[step * 7919 % len(kept)])
        click.echo("done")


def _open(kind: str, place: str, responses: int) -> StoredAnswers:
    bounds = Bounds(responses, 3600)
    if kind == "memory":
        return MemoryAnswers(bounds)
    if kind == "redis":
        redis_client.COMMAND_TIMEOUT = 60  # a process whose instructions are counted is slow
        return RedisAnswers(redis_client.connect(place), bounds)
    return AnswerDatabase(Path(place), bounds)


async def _find(store: StoredAnswers, number: int) -> bool:
    scope, name = name_of(number)
    found = await store.find(scope, [name, f"{name}/input"], max_bytes=MOST)
    return len(found) == len((BODY, INPUT))


async def _memory(kind: str, place: str) -> int:
    """Bytes: of this process, of Redis, or of the file."""
    if kind == "memory":
        return _resident()
    if kind == "redis":
        async with redis_client.connect(place) as client:
            return int((await client.info("memory"))["used_memory"])
    return _size_of_files(place)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _size_of_files(place: str) -> int:
    return sum(each.stat().st_size for each in Path(place).parent.glob(f"{Path(place).name}*"))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), fill="fill" in sys.argv, few="few" in sys.argv))
