"""The inspector's event stream: the list of runs as it changes, and one run as it goes on.

The stream polls the runs four times a second while it has a reader; so runs need not notify it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import HttpVersion11, web

from ...core.errors import NotFound, ProxyError, TooManyConnections
from .inspector import Inspector, Json
from .responses import HEADERS
from .rows import row_of
from .run_details import Shown
from .run_feed import RunFeed

INTERVAL = 0.25
"""Seconds between two polls."""
STATE_EVERY = 4
"""Polls between two reads of the overall state, which may ask Redis, and between two checks of access."""
PING_EVERY = 60
"""Polls without changes after which a comment keeps the connection open."""
MAX_READERS = 16
"""Readers at a time in a worker."""
SEND_TIMEOUT = 30.0
"""Seconds for a reader to take an event."""

_readers: set[asyncio.Task[Any] | None] = set()


async def stream(request: web.Request, inspector: Inspector) -> web.StreamResponse:
    """`?run=ID` also follows one run. Raises NotFound, TooManyConnections."""
    if len(_readers) >= MAX_READERS:
        raise TooManyConnections(f"The inspector has {MAX_READERS} readers at a time, and has them.")
    news = _News(request, inspector)
    response = _new_response(request)
    task = asyncio.current_task()
    _readers.add(task)
    try:
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError, ProxyError):
            async for data in news.follow():
                async with asyncio.timeout(SEND_TIMEOUT):
                    await response.write(data)
            await response.write_eof()
    finally:
        _readers.discard(task)
    return response


class _News:
    """The changes that one reader has not received yet."""

    def __init__(self, request: web.Request, inspector: Inspector) -> None:
        self._request = request
        self._inspector = inspector
        self._feed = _feed(request, inspector)
        # state
        self._rows: dict[str, Json] = {}
        self._state: Json = {}

    async def follow(self) -> AsyncIterator[bytes]:
        """Yields events until the process or the connection ends. Raises ProxyError if the visitor loses access."""
        looks = quiet = 0
        while self._request.transport is not None and not self._inspector.is_stopping(self._request):
            news = [each async for each in self._look(with_state=looks % STATE_EVERY == 0)]
            looks += 1
            quiet = 0 if news else quiet + 1
            if quiet >= PING_EVERY:
                news, quiet = [b": ping\n\n"], 0
            if news:
                yield b"".join(news)
            await asyncio.sleep(INTERVAL)

    async def _look(self, *, with_state: bool) -> AsyncIterator[bytes]:
        shown = self._inspector.shown(self._request)
        if with_state:
            await self._inspector.check(self._request)
            state = await self._inspector.state(self._request)
            if {**state, "now": 0} != {**self._state, "now": 0}:
                self._state = state
                yield _event("state", state)
        if changed := self._changed(shown):
            yield _event("runs", changed)
        if self._feed is not None and (news := await self._feed.advance()):
            yield await asyncio.to_thread(_event, "run", news)

    def _changed(self, shown: Shown) -> Json | None:
        rows = {run.id: row_of(run, shown) for run in self._inspector.runs}
        changed = [row for run_id, row in rows.items() if self._rows.get(run_id) != row]
        gone = [run_id for run_id in self._rows if run_id not in rows]
        self._rows = rows
        return {"runs": changed, "gone": gone} if changed or gone else None


def _feed(request: web.Request, inspector: Inspector) -> RunFeed | None:
    run_id = request.query.get("run", "")
    if not run_id:
        return None
    run = inspector.runs.find(run_id)
    if run is None:
        raise NotFound("There is no such run here.")
    return RunFeed(run, inspector.shown(request))


def _event(name: str, data: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


def _new_response(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
    response.headers["X-Accel-Buffering"] = "no"
    if request.version < HttpVersion11:
        response.force_close()
    else:
        response.enable_chunked_encoding()
    return response
