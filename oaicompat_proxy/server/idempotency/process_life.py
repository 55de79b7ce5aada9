"""The heartbeat of a process, by which other processes see that it still makes its answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ...core.errors import ProxyError, StoreUnavailable
from ..answer_stores.stored_answers import StoredAnswers
from ..random_ids import new_id

BEAT = 5.0
"""Seconds between two heartbeats of a process."""

DEAD_AFTER = 4 * BEAT
"""Seconds without a heartbeat after which a process counts as dead; a busy process may be late."""

EVERYBODY = ""
"""The scope of entries that belong to no caller; no caller has it."""

_HEARTBEAT = b"1"


class ProcessLife:
    """The heartbeats of the processes that share stored answers."""

    def __init__(self, answers: StoredAnswers, *, events_ttl: float = 0, stores_events: bool = False) -> None:
        """`events_ttl`: seconds after an answer's end for which other processes can get its events. `stores_events`:
        events are stored beside the answer, for processes that cannot call this one and for restarts.
        """
        self._answers = answers
        self.events_ttl = events_ttl
        self.stores_events = stores_events
        self.on_begin: Callable[[], None] = lambda: None
        self.on_loss: Callable[[], Awaitable[None]] | None = None
        """Called when the store has lost its data."""
        # state
        self.process = new_id()
        """The name of this process."""
        self._beating: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Starts the heartbeat, at the first kept answer; returns when other processes can read it."""
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_forever(), name="say that the process lives")
            self.on_begin()
            await self._beat()

    async def is_alive(self, process: str) -> bool:
        """Whether the process has a heartbeat. Raises StoreUnavailable."""
        if process == self.process:
            return True
        return await self.has_heartbeat(process)

    async def has_heartbeat(self, process: str) -> bool:
        """Whether the store has a heartbeat of the process. Raises StoreUnavailable."""
        return bool(await self._answers.find(EVERYBODY, [_name_of(process)], max_bytes=len(_HEARTBEAT)))

    async def end(self) -> None:
        """Ends the heartbeat when the process stops."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.wait([self._beating])
        with contextlib.suppress(ProxyError):
            await self._answers.delete(EVERYBODY, [_name_of(self.process)])

    async def _beat(self) -> None:
        await self._answers.add(EVERYBODY, {_name_of(self.process): _HEARTBEAT}, ttl=DEAD_AFTER)

    async def _beat_forever(self) -> None:
        may_be_lost = False
        while True:
            await asyncio.sleep(BEAT)
            is_reachable = True
            try:
                may_be_lost |= not await self.has_heartbeat(self.process)
            except StoreUnavailable:
                is_reachable, may_be_lost = False, True
            await self._beat()  # before its records are restored: their readers check the heartbeat
            if is_reachable and may_be_lost and self.on_loss is not None:
                with contextlib.suppress(StoreUnavailable):
                    await self.on_loss()
                    may_be_lost = False


def _name_of(process: str) -> str:
    return f"process {process}"
