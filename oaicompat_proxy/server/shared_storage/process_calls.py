"""Calls between the processes that share a Redis: one process asks another one, and gets a reply.

Each process that takes part has one list in Redis, for the calls to it and for the replies to its own calls, and one
connection that waits for its next entry. A process that neither calls nor can be called has no list.

A call or its reply may be lost: Redis loses its data, or a process dies. The caller gets None then and may ask again,
so a call must be harmless twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from ...core.errors import StoreUnavailable
from .redis_client import mapped_errors, waiting_client

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

AnswerCall = Callable[[bytes], Awaitable[bytes]]
"""Takes the call of another process, and returns the reply."""

WAIT = 5.0
"""Seconds for which one command waits for the next entry."""

ENTRY_TTL = 30.0
"""Seconds after the last entry at which the list of a process that does not read it any more is deleted."""

MAX_ENTRIES = 10_000
"""Entries of one list, calls and replies; the oldest are dropped."""

MAX_ANSWERED = 2000
"""Calls that a process answers at the same time; further ones are dropped, and their callers ask again."""

PAUSE = 1.0
"""Seconds before the next attempt if Redis cannot be reached."""

LAST_REPLIES = 1.0
"""Seconds for the replies that are being made when the process stops."""

CANCEL_INTERVAL = 0.1
"""Seconds between two cancellations of the listener."""

_PREFIX = "oaicompat:calls:"

_PUSH = """
if redis.call('RPUSH', KEYS[1], ARGV[1]) > tonumber(ARGV[3]) then redis.call('LPOP', KEYS[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""`KEYS`: the list. `ARGV`: the entry, milliseconds that the list lives, most entries."""


class ProcessCalls:
    """The calls of one process."""

    def __init__(self, redis: Redis, process: str, answer: AnswerCall) -> None:
        """`process`: the name of this process. `answer`: answers the calls of other processes."""
        self._redis = redis
        self._process = process
        self._answer = answer
        self._push = redis.register_script(_PUSH)
        # state
        self._numbers = itertools.count()
        self._replies: dict[int, asyncio.Future[bytes]] = {}
        """The expected replies, by the number of the call."""
        self._answering: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Starts to receive calls."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen_forever(), name="listen to other processes")

    async def call(self, process: str, asked: bytes, *, within: float) -> bytes | None:
        """The reply of the other process, or None if none came within `within` seconds. Raises StoreUnavailable."""
        self.listen()
        number = next(self._numbers)
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        try:
            async with asyncio.timeout(within):
                await self._send(process, {"from": self._process, "number": number}, asked)
                return await reply
        except TimeoutError:
            return None
        finally:
            del self._replies[number]

    async def close(self) -> None:
        """Stops receiving calls, and waits for the replies that are being made: the last one ends a reader's stream."""
        if self._answering:
            await asyncio.wait(list(self._answering), timeout=LAST_REPLIES)
        for task in list(self._answering):
            task.cancel()
        while self._listener is not None and not self._listener.done():
            self._listener.cancel()
            await asyncio.wait([self._listener], timeout=CANCEL_INTERVAL)  # redis-py may lose a cancellation

    async def _send(self, process: str, head: dict[str, Any], body: bytes) -> None:
        entry = orjson.dumps(head) + b"\n" + body
        with mapped_errors():
            await self._push([_PREFIX + process], [entry, int(ENTRY_TTL * 1000), MAX_ENTRIES])

    async def _listen_forever(self) -> None:
        from .bounded_redis import PROBES

        PROBES.set(True)
        async with waiting_client(self._redis, WAIT) as waiting:
            while True:
                try:
                    with mapped_errors():
                        found = await waiting.blpop([_PREFIX + self._process], timeout=WAIT)
                except StoreUnavailable:
                    await asyncio.sleep(PAUSE)
                    continue
                if found and isinstance(found[1], bytes):
                    self._receive(found[1])

    def _receive(self, entry: bytes) -> None:
        """Handles an entry of this process' list: a reply to its own call, or a call of another process."""
        head, _, body = entry.partition(b"\n")
        match _members(head):
            case {"reply": int(number)}:
                reply = self._replies.get(number)
                if reply is not None and not reply.done():
                    reply.set_result(body)
            case {"from": str(process), "number": int(number)} if len(self._answering) < MAX_ANSWERED:
                self._answer_later(process, number, body)

    def _answer_later(self, process: str, number: int, asked: bytes) -> None:
        task = asyncio.create_task(self._reply(process, number, asked), name="answer another process")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply(self, process: str, number: int, asked: bytes) -> None:
        try:
            with contextlib.suppress(StoreUnavailable):
                await self._send(process, {"reply": number}, await self._answer(asked))
        except Exception:
            log.exception("a call of another process failed")


def _members(head: bytes) -> Any:
    """The first line of an entry; None if no process of ours has written it."""
    try:
        return orjson.loads(head)
    except orjson.JSONDecodeError:
        return None
