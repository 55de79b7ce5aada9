"""A run that is started again for each confirmation (setting `confirmations = approve`, agents without a gateway)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ...core.errors import UpstreamError, UpstreamInterrupted
from ...core.events import (
    ConfirmationRequired,
    Event,
    RunEnded,
    TickStarted,
    ToolCallDelta,
    ToolCalled,
    ToolCallStarted,
    ToolFinished,
)
from ...core.message import Message, Text, ToolCall
from ...core.turn import ConfirmationReply, Turn
from ...translation.buffer_limit import MAX_BUFFERED, BufferLimit
from ..upstream.event_source import PullSource
from ..upstream.run import Run

MAX_CONFIRMATIONS = 100
"""Runs of one answer; an agent that asks for more confirmations is in a loop."""


class _ToolHistory:
    """The tool calls of one run and their results. The next run gets them, so that it does not repeat the calls."""

    def __init__(self, limit: BufferLimit) -> None:
        """`limit`: bounds the memory; it raises UpstreamAnswerTooLong."""
        self._limit = limit
        # state
        self._names: dict[str, str] = {}
        self._arguments: dict[str, list[str]] = {}
        self._results: dict[str, str] = {}

    def add(self, event: Event) -> None:
        if isinstance(event, ToolCallStarted | ToolCalled) and event.call_id not in self._names:
            self._limit.add(len(event.call_id) + len(event.name), items=1)
            self._names[event.call_id] = event.name
            self._arguments[event.call_id] = []
        if isinstance(event, ToolCallDelta | ToolCalled) and event.call_id in self._names:
            self._limit.add(len(event.arguments))
            if isinstance(event, ToolCalled):
                self._arguments[event.call_id].clear()
            self._arguments[event.call_id].append(event.arguments)
        if isinstance(event, ToolFinished) and event.call_id in self._names:
            self._limit.add(len(event.result))
            self._results[event.call_id] = event.result

    def messages(self, asked: ConfirmationRequired) -> Iterator[Message]:
        """The calls with a result, and the call that waits for a confirmation."""
        finished = [ToolCall(each, self._names[each], "".join(self._arguments[each]) or "{}") for each in self._results]
        yield Message("assistant", (), None, (*finished, ToolCall(asked.call_id, asked.name, asked.arguments)))
        for call_id, result in self._results.items():
            yield Message("tool", (Text(result),), tool_call_id=call_id)


class RestartingRun(PullSource):
    """A run of an agent without a gateway, and the runs that follow: each confirmation takes another run."""

    def __init__(
        self,
        start: Callable[[Turn], Run],
        turn: Turn,
        *,
        on_restart: Callable[[Run], None] = lambda run: None,
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        """`start`: starts a run with a turn; `turn` is the first. `on_restart`: called with each later run before it is
        opened. `max_buffered`: size of the tool calls and results that are kept.
        """
        super().__init__()
        self._start = start
        self._on_restart = on_restart
        self._max_buffered = max_buffered
        # state
        self._turn = turn
        self._run = start(turn)
        self._history = _ToolHistory(BufferLimit(self._max_buffered))
        self._asked: ConfirmationRequired | None = None
        self._confirmed: tuple[str, str] | None = None
        """Tool and arguments of the last call of the previous run, if that run asked by its end alone."""
        self._left = MAX_CONFIRMATIONS

    @property
    def arrived(self) -> float:
        return self._run.arrived

    async def open(self) -> None:
        await self._run.open()

    async def __anext__(self) -> Iterable[Event]:
        if self._asked is not None:
            await self._restart(self._asked)
            return iter([TickStarted()])
        return map(self._on_event, await self._run.__anext__())

    def _on_event(self, event: Event) -> Event:
        self._history.add(event)
        if isinstance(event, ConfirmationRequired):
            self._asked, self._confirmed = event, None
        elif isinstance(event, RunEnded) and event.waits_for is not None:
            self._confirm_once(event.waits_for)
        return event

    def _confirm_once(self, asked: ConfirmationRequired) -> None:
        """Raises UpstreamError for a call that was confirmed already: the agent does not understand confirmations."""
        call = (asked.name, asked.arguments)
        if call == self._confirmed:
            raise UpstreamError(f"The agent ended again on a call of its tool '{asked.name}' that was approved.")
        self._asked, self._confirmed = asked, call

    async def _restart(self, asked: ConfirmationRequired) -> None:
        """Starts the next run with the tool calls of the run before. Raises UpstreamError or a subclass."""
        self._asked = None
        self._left -= 1
        if not self._left:
            raise UpstreamError(f"The agent asked for more than {MAX_CONFIRMATIONS} confirmations.")
        await self._run.finish()
        before = self._turn.messages or (Message("user", self._turn.blocks),)
        messages = (*before, *self._history.messages(asked))
        self._turn = replace(self._turn, messages=messages, reply=ConfirmationReply(asked.call_id, confirmed=True))
        self._history = _ToolHistory(BufferLimit(self._max_buffered))
        self._run = self._start(self._turn)
        self._on_restart(self._run)
        try:
            await self._run.open()
        except UpstreamError as error:
            if not error.should_retry:
                raise  # else the error would say that no run has begun
            raise UpstreamInterrupted(
                "The agent could not be reached again after its question; the answer is incomplete."
            ) from error
