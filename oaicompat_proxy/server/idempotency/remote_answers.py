"""Answers that another process makes, for clients of this process: reads their events, and stops their runs.

This process calls for events as fast as its client reads them, and each call says how many events are here. So a lost
reply costs only time, and the client gets each event once, in order, or an error.
"""

from __future__ import annotations

import asyncio
import logging

import orjson
from aiohttp import web

from ...api.protocol import ClientApi
from ...core.errors import InternalError, ProxyError, RunElsewhere, StoreUnavailable
from ..answer_stores.stored_answers import StoredAnswers
from ..context import CONTEXT
from ..random_ids import new_id
from ..shared_storage.process_calls import ProcessCalls
from .answer_calls import HOLD, READ, STOP, AnswerCall, AnswerReply, count_events, decode_reply
from .cache import IdempotencyCache
from .delivery import deliver
from .foreign_readers import READ_WAIT
from .kept_answer import MAX_BODY, KeptAnswer, find_maker, process_lost
from .process_life import ProcessLife
from .shared_answer import SharedAnswer, events_gone, not_a_stream
from .stored_outcome import restore_failure

log = logging.getLogger(__name__)

REPLY_TIMEOUT = READ_WAIT + 2.0
"""Seconds for a reply; without one the heartbeat of the process is checked."""

STOP_TIMEOUT = 10.0
"""Seconds for the end of a run, which includes its abort at the gateway."""

HOLD_INTERVAL = 5.0
"""Seconds between two HOLD calls for a reader whose client is slow."""

MAX_SILENCE = 60.0
"""Seconds without a reply of a live process, or without Redis, after which a stream fails."""


class RemoteAnswers:
    """Reads and stops runs of other processes. `calls` is None if processes cannot call each other."""

    def __init__(self, calls: ProcessCalls | None, answers: StoredAnswers, life: ProcessLife) -> None:
        self._calls = calls
        self._answers = answers
        self._life = life

    async def stop(self, process: str, scope: str, answer_id: str) -> None:
        """Stops the run; returns when it has ended. Raises RunElsewhere and StoreUnavailable."""
        call = AnswerCall(STOP, scope, answer_id)
        if self._calls is None or await self._calls.call(process, call.encode(), within=STOP_TIMEOUT) is None:
            raise RunElsewhere("The run belongs to another process of this server and goes on; send the request again.")

    async def copy(self, shared: SharedAnswer, kept: KeptAnswer, answer_id: str) -> bool | None:
        """Writes the events of the answer to `shared`, live; returns True at the answer's end.

        Returns None if the answer has no record (yet), False if it has no events. Raises ProxyError.
        """
        if self._calls is None:
            return False
        maker = await find_maker(kept.api, shared.scope, answer_id, self._answers, self._life)
        found = await self._answers.find(shared.scope, [answer_id], max_bytes=MAX_BODY)
        if maker is None or answer_id not in found:
            return None
        copy = _Copy(kept.api, found[answer_id], 0, shared, answer_id)
        source = _Source(self._calls, self._answers, self._life, kept.api, maker.process, copy)
        if not await source.begin():
            return False
        await source.fill()
        return True

    async def follow(
        self, request: web.Request, api: ClientApi, process: str, answer_id: str, body: bytes, skipped: int
    ) -> web.StreamResponse:
        """Sends the events behind the first `skipped`, live. `body`: of the answer so far. Raises ProxyError."""
        if self._calls is None:
            raise RunElsewhere(
                "The events of this answer are in another process of this server; ask for the answer without 'stream', "
                "or send the request again when it is complete. To follow it live here, the processes need --redis."
            )
        scope = request[CONTEXT].caller.scope
        cache: IdempotencyCache[SharedAnswer] = IdempotencyCache(max_entries=1, max_size=0, max_bytes=0)
        copy = _Copy(api, body, skipped, SharedAnswer(scope, answer_id, b"", cache), answer_id)
        reader = copy.shared.add_reader()
        source = _Source(self._calls, self._answers, self._life, api, process, copy)
        filling = asyncio.create_task(source.fill(), name="read an answer of another process")
        try:
            return await deliver(request, copy.shared, reader)
        finally:
            copy.shared.remove_reader(reader)
            filling.cancel()
            await asyncio.wait([filling])


class _Copy:
    """Receives the events of an answer of another process."""

    def __init__(self, api: ClientApi, body: bytes, skipped: int, shared: SharedAnswer, answer_id: str) -> None:
        """`shared`: gets the events."""
        self._api = api
        self.answer_id = answer_id
        self.body = body
        self.skipped = skipped
        """Number of events that the client has, or that were sent to it."""
        self.shared = shared
        shared.failing = self

    def add(self, reply: AnswerReply) -> None:
        """Passes the events of a reply to the readers."""
        shared, ping = self.shared, reply.ping.encode()
        if shared.streamed is None:
            shared.begin(streamed=True)
        if reply.committed:
            shared.commit()
        self.skipped += count_events(reply.data)
        shared.ping = lambda: ping
        if reply.data:
            shared.write(reply.data)
        if reply.state == "ended":
            shared.end()

    def fail(self, error: ProxyError) -> bytes:
        """The end of the stream, if the answer's own end is lost."""
        return self._api.lost_end(self.body, error, self.skipped)


class _Source:
    """Calls the other process for the events of one answer."""

    def __init__(
        self,
        calls: ProcessCalls,
        answers: StoredAnswers,
        life: ProcessLife,
        api: ClientApi,
        process: str,
        copy: _Copy,
    ) -> None:
        self._calls = calls
        self._answers = answers
        self._life = life
        self._api = api
        self._process = process
        self._copy = copy
        self._reader = new_id()

    async def begin(self) -> bool:
        """Makes the first call; returns whether the answer has events. Raises ProxyError."""
        reply = await self._next()
        if reply.state in ("gone", "not a stream"):
            return False
        self._pass_on(reply)
        return True

    async def fill(self) -> None:
        """Passes all events to the copy, then the end or a failure."""
        shared = self._copy.shared
        try:
            while not shared.over:
                self._pass_on(await self._next())
                await self._until_drained()
        except ProxyError as error:
            shared.fail(error)
        except Exception:
            log.exception("the events of an answer of another process could not be read")
            shared.fail(InternalError())

    def _pass_on(self, reply: AnswerReply) -> None:
        """Passes the events of a reply to the copy. Raises ProxyError."""
        if reply.state == "failed":
            raise restore_failure(orjson.loads(reply.data)["error"])
        if reply.state == "gone":
            raise events_gone()
        if reply.state == "not a stream":
            raise not_a_stream()
        if reply.skipped == self._copy.skipped:  # else it is the reply to an earlier call
            self._copy.add(reply)

    async def _next(self) -> AnswerReply:
        """The next reply.

        Raises AnswerCut if the process is dead, RunElsewhere and StoreUnavailable after MAX_SILENCE.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while True:
            try:
                if (reply := await self._ask(READ, REPLY_TIMEOUT)) is not None:
                    return decode_reply(reply)
                await self._check_life()
            except StoreUnavailable:
                if not self._copy.shared.committed or loop.time() - asked > MAX_SILENCE:
                    raise
                await asyncio.sleep(1)
            if loop.time() - asked > MAX_SILENCE:
                raise RunElsewhere("The process that makes this answer does not reply; send the request again.")

    async def _ask(self, wants: str, within: float) -> bytes | None:
        copy = self._copy
        call = AnswerCall(wants, copy.shared.scope, copy.answer_id, self._reader, copy.skipped)
        return await self._calls.call(self._process, call.encode(), within=within)

    async def _check_life(self) -> None:
        """Raises AnswerCut if the process is dead; the answer's record is ended then, too."""
        scope, answer_id = self._copy.shared.scope, self._copy.answer_id
        maker = await find_maker(self._api, scope, answer_id, self._answers, self._life)
        if maker is None or maker.process != self._process:
            found = await self._answers.find(scope, [answer_id], max_bytes=MAX_BODY)
            if maker is None and not found:
                return  # Redis has lost its data, and the process stores the record again
            self._copy.body = found.get(answer_id, self._copy.body)
            raise process_lost()

    async def _until_drained(self) -> None:
        """Returns when the client has read enough; meanwhile HOLD calls keep the reader from expiring."""
        drained = asyncio.ensure_future(self._copy.shared.drained())
        try:
            while not (await asyncio.wait([drained], timeout=HOLD_INTERVAL))[0]:
                await self._ask(HOLD, REPLY_TIMEOUT)
        finally:
            drained.cancel()
