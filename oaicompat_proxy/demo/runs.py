"""Runs of executions in the background, whether or not a client reads them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .execution import Execution
from .replay_buffer import ReplayBuffer
from .script import DropConnection, Hang, Pause, Raw, RawScript
from .tool_runner import AwaitConfirmation, RunItems

RunStatus = Literal["running", "finished", "failed", "aborted"]

MAX_RECORDS = 1000
"""The number of latest runs, and of latest requests, that are kept for tests."""
EARLY_FRAMES = 2
"""The number of first frames of a queued execution that appear in the stream of the run before it."""


@dataclass
class RunRecord:
    """The properties of a run that tests can read."""

    session_key: str
    session_id: str
    blocks: Any
    metadata: dict[str, Any]
    messages: tuple[dict[str, Any], ...] = ()
    """All messages of the request; `blocks` is the content of the last."""
    is_raw: bool = False
    """Whether the run sends recorded bytes unchanged."""
    status: RunStatus = "running"
    readers: int = 0
    reader_left: bool = False
    """Whether a reader disconnected before the run ended."""


class Runs:
    """The latest runs of a gateway, oldest first, and counts of all its runs."""

    def __init__(self) -> None:
        self._records: list[RunRecord] = []
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> RunRecord:
        return self._records[index]

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._records)

    def add(self, record: RunRecord) -> None:
        self._counts["started"] += 1
        self._records.append(record)
        del self._records[:-MAX_RECORDS]

    def end(self, record: RunRecord, status: RunStatus) -> None:
        record.status = status
        self._counts[status] += 1

    @property
    def started(self) -> int:
        return self._counts["started"]

    @property
    def running(self) -> int:
        return self.started - self.finished - self.failed - self.aborted

    @property
    def finished(self) -> int:
        return self._counts["finished"]

    @property
    def failed(self) -> int:
        return self._counts["failed"]

    @property
    def aborted(self) -> int:
        return self._counts["aborted"]


def raw_items(script: RawScript) -> RunItems:
    for step in script.steps:
        yield step.data if isinstance(step, Raw) else step


class Run:
    """Runs an execution, or a raw script, into a replay buffer."""

    def __init__(
        self,
        record: RunRecord,
        execution: Execution,
        replay: ReplayBuffer,
        publish: Callable[[bytes], None],
        pace: float,
        raw_script: RawScript | None = None,
        synthetic_end: bool = True,
    ) -> None:
        self.record = record
        self.execution = execution
        self.replay = replay
        self._publish = publish
        self._pace = pace
        self._raw_script = raw_script
        self._synthetic_end = synthetic_end and raw_script is None
        self._items = raw_items(raw_script) if raw_script else execution.run()
        # state
        self._aborted = asyncio.Event()
        self._confirmations: dict[str, asyncio.Future[bool]] = {}

    def abort(self) -> None:
        """Stops the run before its next event, or at once if it is waiting."""
        self._aborted.set()
        for answer in self._confirmations.values():
            answer.cancel()

    def confirm(self, call_id: str, confirmed: bool) -> bool:
        """Confirms or denies a call; False if the call does not wait for it."""
        answer = self._confirmations.pop(call_id, None)
        if answer is None or answer.done():
            return False
        answer.set_result(confirmed)
        return True

    async def run_to_end(self) -> RunStatus:
        """Sends everything but the closing frames; returns how the run ended."""
        reply: bool | None = None
        while not self._aborted.is_set():
            try:
                item = self._items.send(reply)
            except StopIteration:
                return "failed" if self.execution.failed else "finished"
            reply = await self._act_on(item)
        for frame in self.execution.abort_frames():
            self.put(frame)
        return "aborted"

    def close(self, following: Run | None) -> None:
        """Ends the stream. The first frames of the following run are sent before the last frame of this one."""
        closing = self.execution.closing_frames() if self._synthetic_end else []
        for frame in following.send_early_frames() if following and closing else []:
            self.replay.put(frame)
        for frame in closing:
            self.put(frame)
        self.replay.close()

    def send_early_frames(self) -> list[bytes]:
        """Sends the first frames before the run has started."""
        if self._raw_script:
            return []
        frames = [item for item in (next(self._items) for _ in range(EARLY_FRAMES)) if isinstance(item, bytes)]
        for frame in frames:
            self.put(frame)
        return frames

    def put(self, item: bytes | DropConnection) -> None:
        self.replay.put(item)
        if isinstance(item, bytes):
            self._publish(item)

    async def _act_on(self, item: Any) -> bool | None:
        if isinstance(item, bytes | DropConnection):
            self.put(item)
        elif isinstance(item, Pause):
            await self._wait(item.factor * self._pace)
        elif isinstance(item, Hang):
            await self._aborted.wait()
        elif isinstance(item, AwaitConfirmation):
            return await self._wait_for_confirmation(item.call_id)
        return None

    async def _wait(self, seconds: float) -> None:
        if not seconds:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._aborted.wait()
        except TimeoutError:
            return

    async def _wait_for_confirmation(self, call_id: str) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._confirmations[call_id] = answer
        try:
            return await answer
        except asyncio.CancelledError:
            if self._aborted.is_set():
                return False
            raise
