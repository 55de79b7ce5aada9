"""How the run of a lease is started, and started again where a yes to what it asks takes another run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ...core.errors import UpstreamConnectTimeout, UpstreamError, UpstreamInterrupted, UpstreamUnreachable
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
from ...translation.held import MOST, Held
from ..random_ids import new_id
from ..upstream.approvals import approve_all
from ..upstream.event_source import EventSource, PullSource
from ..upstream.run import Run
from .lease import Lease

MOST_QUESTIONS = 100
"""Runs of one answer; an agent that asks more than that asks for ever."""


def start(lease: Lease, turn: Turn, *, approves: bool) -> EventSource:
    """`approves`: what the agent asks is answered with yes (setting `confirmations`)."""
    if approves and lease.upstream.dialect.gateway is None:
        return RestartingRun(lambda turn: _start(lease, turn), turn)
    run = _start(lease, turn)
    if approves:
        approve_all(run, lease.upstream, lease.key)
    return run


def _start(lease: Lease, turn: Turn) -> Run:
    dialect, run_id = lease.upstream.dialect, new_id()
    lease.run = lease.upstream.run(dialect.build_run(turn, app=lease.app, key=lease.key, run_id=run_id), run_id)
    return lease.run


class _Deeds:
    """What the agent has called and got in one run: the next would do it again if it were not told."""

    def __init__(self, held: Held) -> None:
        """`held`: all of it is counted there, which raises UpstreamAnswerTooLong."""
        self._held = held
        # moving
        self._names: dict[str, str] = {}
        self._arguments: dict[str, list[str]] = {}
        self._results: dict[str, str] = {}

    def note(self, event: Event) -> None:
        if isinstance(event, ToolCallStarted | ToolCalled) and event.call_id not in self._names:
            self._held.add(len(event.call_id) + len(event.name), items=1)
            self._names[event.call_id] = event.name
            self._arguments[event.call_id] = []
        if isinstance(event, ToolCallDelta | ToolCalled) and event.call_id in self._names:
            self._held.add(len(event.arguments))
            if isinstance(event, ToolCalled):
                self._arguments[event.call_id].clear()
            self._arguments[event.call_id].append(event.arguments)
        if isinstance(event, ToolFinished) and event.call_id in self._names:
            self._held.add(len(event.result))
            self._results[event.call_id] = event.result

    def tell(self, asked: ConfirmationRequired) -> Iterator[Message]:
        """The calls that have results, beside the one that stands for all that waits."""
        whole = [ToolCall(each, self._names[each], "".join(self._arguments[each]) or "{}") for each in self._results]
        yield Message("assistant", (), None, (*whole, ToolCall(asked.call_id, asked.name, asked.arguments)))
        for call_id, result in self._results.items():
            yield Message("tool", (Text(result),), tool_call_id=call_id)


class RestartingRun(PullSource):
    """A run, and those that follow it because what it asked is answered with yes."""

    def __init__(self, start: Callable[[Turn], Run], turn: Turn, *, max_held: int = MOST) -> None:
        """`start`: begins a run with a turn, of which `turn` is the first. `max_held`: as for the translator."""
        super().__init__()
        self._start = start
        self._max_held = max_held
        # moving
        self._turn = turn
        self._run = start(turn)
        self._deeds = _Deeds(Held(self._max_held))
        self._asked: ConfirmationRequired | None = None
        self._approved: tuple[str, str] | None = None
        """The tool and the arguments on which the run before ended, where that alone was taken for a question."""
        self._left = MOST_QUESTIONS

    @property
    def arrived(self) -> float:
        return self._run.arrived

    async def open(self) -> None:
        await self._run.open()

    async def __anext__(self) -> Iterable[Event]:
        if self._asked is not None:
            await self._go_on(self._asked)
            return iter([TickStarted()])
        return map(self._on_event, await self._run.__anext__())

    def _on_event(self, event: Event) -> Event:
        self._deeds.note(event)
        if isinstance(event, ConfirmationRequired):
            self._asked, self._approved = event, None
        elif isinstance(event, RunEnded) and event.waits_for is not None:
            self._ask_once(event.waits_for)
        return event

    def _ask_once(self, asked: ConfirmationRequired) -> None:
        """Raises UpstreamError for a call that the agent makes again: it does not understand the yes."""
        call = (asked.name, asked.arguments)
        if call == self._approved:
            raise UpstreamError(f"The agent ended again on a call of its tool '{asked.name}' that was approved.")
        self._asked, self._approved = asked, call

    async def _go_on(self, asked: ConfirmationRequired) -> None:
        """The next run, which knows what the one before it has called. Raises UpstreamError and its kin."""
        self._asked = None
        self._left -= 1
        if not self._left:
            raise UpstreamError(f"The agent asked for more than {MOST_QUESTIONS} confirmations.")
        await self._run.finish()
        before = self._turn.messages or (Message("user", self._turn.blocks),)
        said = (*before, *self._deeds.tell(asked))
        self._turn = replace(self._turn, messages=said, reply=ConfirmationReply(asked.call_id, confirmed=True))
        self._deeds = _Deeds(Held(self._max_held))
        self._run = self._start(self._turn)
        try:
            await self._run.open()
        except (UpstreamUnreachable, UpstreamConnectTimeout) as error:  # which would say that nothing was run
            raise UpstreamInterrupted("The agent could not be reached again after it had asked.") from error
