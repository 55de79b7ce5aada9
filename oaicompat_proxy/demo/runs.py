"""Runs: one execution each, played in the background whether or not anybody reads it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .execution import Performance
from .replay_buffer import Replay
from .script import Cut, Hang, Pause, Raw, Tape
from .tool_runner import Ask, Play

State = Literal["running", "finished", "failed", "aborted"]

REMEMBERED = 1000
"""How many runs, and requests, can be looked at afterwards."""
OPENING = 2
"""How many frames of a waiting execution show up in the stream of the run before it."""


@dataclass
class RunRecord:
    """What a test, or a curious reader, can see of a run."""

    session_key: str
    session_id: str
    blocks: Any
    metadata: dict[str, Any]
    messages: tuple[dict[str, Any], ...] = ()
    """All that was sent; `blocks` is the content of the last."""
    is_tape: bool = False
    """Recorded bytes, which are sent as they are."""
    state: State = "running"
    readers: int = 0
    reader_left: bool = False
    """A reader's connection was gone before the run was over."""


class Runs:
    """The latest runs of a gateway, oldest first, and counts of all it ever had."""

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
        del self._records[:-REMEMBERED]

    def end(self, record: RunRecord, state: State) -> None:
        record.state = state
        self._counts[state] += 1

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


def play_tape(tape: Tape) -> Play:
    for step in tape.steps:
        yield step.data if isinstance(step, Raw) else step


class Run:
    """Plays a performance, or a tape, into a replay buffer."""

    def __init__(
        self,
        record: RunRecord,
        performance: Performance,
        replay: Replay,
        publish: Callable[[bytes], None],
        pace: float,
        tape: Tape | None = None,
        synthetic_end: bool = True,
    ) -> None:
        # fixed
        self.record = record
        self.performance = performance
        self.replay = replay
        self._publish = publish
        self._pace = pace
        self._tape = tape
        self._synthetic_end = synthetic_end and tape is None
        self._play = play_tape(tape) if tape else performance.play()
        # moving
        self._aborted = asyncio.Event()
        self._asked: dict[str, asyncio.Future[bool]] = {}

    def abort(self) -> None:
        """Stops at the next event, or at once where the run waits."""
        self._aborted.set()
        for answer in self._asked.values():
            answer.cancel()

    def confirm(self, call_id: str, confirmed: bool) -> bool:
        """Answers the question about a call; False if nobody asked."""
        answer = self._asked.pop(call_id, None)
        if answer is None or answer.done():
            return False
        answer.set_result(confirmed)
        return True

    async def play(self) -> State:
        """Everything but the closing frames; how it ended."""
        reply: bool | None = None
        while not self._aborted.is_set():
            try:
                item = self._play.send(reply)
            except StopIteration:
                return "failed" if self.performance.failed else "finished"
            reply = await self._perform(item)
        for frame in self.performance.aborted():
            self.put(frame)
        return "aborted"

    def close(self, following: Run | None) -> None:
        """Ends the stream; the first frames of a run that waited for this one slip in before the last."""
        closing = self.performance.closing() if self._synthetic_end else []
        for frame in following.opening() if following and closing else []:
            self.replay.put(frame)
        for frame in closing:
            self.put(frame)
        self.replay.close()

    def opening(self) -> list[bytes]:
        """Plays the first frames before the run's own turn."""
        if self._tape:
            return []
        frames = [item for item in (next(self._play) for _ in range(OPENING)) if isinstance(item, bytes)]
        for frame in frames:
            self.put(frame)
        return frames

    def put(self, item: bytes | Cut) -> None:
        self.replay.put(item)
        if isinstance(item, bytes):
            self._publish(item)

    async def _perform(self, item: Any) -> bool | None:
        if isinstance(item, bytes | Cut):
            self.put(item)
        elif isinstance(item, Pause):
            await self._wait(item.beats * self._pace)
        elif isinstance(item, Hang):
            await self._aborted.wait()
        elif isinstance(item, Ask):
            return await self._answer(item.call_id)
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

    async def _answer(self, call_id: str) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[call_id] = answer
        try:
            return await answer
        except asyncio.CancelledError:
            if self._aborted.is_set():
                return False
            raise
