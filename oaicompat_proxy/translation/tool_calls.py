"""Decides whether a tool call is the client's or the agent's own (decision D4).

A call of a tool that the client declared is the client's, and is sent while it streams. Any other call is held back: if
the agent runs the tool, or the run continues with another tick, the call is the agent's own; if the run ends with the
call unhandled, the client gets it.
Calls are identified by call id; the same id twice is one call. Calls are sent one after another, because helpers of the
official clients break on interleaved calls.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.answer import Part, ToolCallArguments, ToolCallOpened
from .buffer_limit import BufferLimit
from .text_channel import SurrogateJoiner


class _Call:
    __slots__ = (
        *("client_id", "ended", "has_arguments", "held", "id", "joiner", "name", "position", "waiting", "waiting_size"),
    )

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.client_id = ""
        """The id that the client gets; empty until the call is opened."""
        self.name = ""
        self.ended = False
        self.has_arguments = False
        self.held = False
        """Held back until the end of its message, whose text comes first."""
        self.waiting: list[str] = []
        self.waiting_size = 0
        self.position: int | None = None
        """Its index in the answer, once it is opened."""
        self.joiner = SurrogateJoiner()


class ToolCalls:
    """The tool calls of one run. Methods return the parts to send now, in time that does not grow with the calls."""

    __slots__ = (
        "_client_calls",
        "_declared",
        "_limit",
        "_named_calls",
        "_open",
        "_opened",
        "_queue",
        "_sent",
        "_shorten",
        "_size",
        "in_tick",
    )

    def __init__(self, declared: frozenset[str], limit: BufferLimit, shorten: Callable[[str], str] = str) -> None:
        """`declared`: the client's tools. `limit` counts the buffered calls, and raises UpstreamAnswerTooLong.
        `shorten` makes the client's id of a call from the agent's.
        """
        self._declared = declared
        self._limit = limit
        self._shorten = shorten
        # state
        self.in_tick: dict[str, _Call] = {}
        """The current tick's calls in the order of their appearance."""
        self._open: dict[str, _Call] = {}
        """Calls that have no end yet, neither of their own nor by their message."""
        self._queue: list[_Call] = []
        """The client's calls of this tick, in the order in which they are sent."""
        self._sent = 0
        """How many calls of the queue are sent in full. A deque instead would take 760 bytes of every stream."""
        self._client_calls = 0
        self._named_calls = 0
        self._size = 0
        self._opened = 0

    @property
    def client_must_act(self) -> bool:
        """This tick calls a tool of the client's."""
        return self._client_calls > 0

    @property
    def pending(self) -> bool:
        """This tick calls any tool."""
        return self._named_calls > 0

    def start(self, call_id: str, name: str) -> list[Part]:
        self._set_name(self._find(call_id), name)
        return self._advance()

    def add_arguments(self, call_id: str, piece: str) -> list[Part]:
        call = self._find(call_id)
        if call.ended or not piece:
            return []
        self._keep(call, piece)
        return self._advance()

    def end(self, call_id: str) -> list[Part]:
        """Ends the deltas of a call. A call without deltas waits for its whole form."""
        call = self._find(call_id)
        call.ended = call.has_arguments
        if not call.ended:
            self._open[call_id] = call
        return self._advance()

    def add_whole(self, call_id: str, name: str, arguments: str, *, held: bool = False) -> list[Part]:
        """`held`: the call is sent at the end of its message, after the text that still follows."""
        call = self._find(call_id)
        call.held = call.held or (held and not call.ended)  # a call that has ended is not held back again
        self._set_name(call, name)
        if not call.has_arguments and arguments:
            self._keep(call, arguments)
        call.ended = True
        if not call.held:
            self._open.pop(call_id, None)
        return self._advance()

    def end_message(self) -> list[Part]:
        """Ends all calls that have no end of their own: the model's message is complete."""
        for call in self._open.values():
            call.ended = True
            call.held = False
        self._open.clear()
        return self._advance()

    def release_held(self) -> list[Part]:
        """Sends the client all calls that were not handled: the run ends on this tick."""
        undeclared = [call for call in self.in_tick.values() if call.name and call.name not in self._declared]
        self._declared = self._declared.union(call.name for call in undeclared)
        self._client_calls += len(undeclared)
        self._queue.extend(undeclared)
        return self.end_message()

    def mark_handled(self, call_id: str) -> list[Part]:
        """Drops a call that the agent handled itself; a call of a declared tool stays the client's."""
        if not self.is_declared(call_id):
            self._drop(call_id)
        return []

    def is_declared(self, call_id: str) -> bool:
        """The call is one of this tick's, of a tool that the client declared."""
        return call_id in self.in_tick and self.in_tick[call_id].name in self._declared

    def add_proxy_call(self, call_id: str, name: str, arguments: str, *, needs_words: bool) -> list[Part]:
        """Sends a call of the proxy's own in place of all calls of the tick. `needs_words`: of ToolCallOpened."""
        self.end_tick()
        self._declared |= {name}
        self._find(call_id).client_id = call_id
        parts = self.add_whole(call_id, name, arguments)
        return [each._replace(needs_words=needs_words) if type(each) is ToolCallOpened else each for each in parts]

    def end_tick(self) -> None:
        """Drops the tick's calls: the run continues with another tick, so the unsent calls are the agent's own."""
        self.in_tick.clear()
        self._open.clear()
        self._queue.clear()
        self._client_calls = self._named_calls = self._sent = 0
        self._limit.release(self._size)
        self._size = 0

    def _find(self, call_id: str) -> _Call:
        call = self.in_tick.get(call_id)
        if call is None:
            call = self.in_tick[call_id] = self._open[call_id] = _Call(call_id)
            self._count(len(call_id), items=1)
        return call

    def _set_name(self, call: _Call, name: str) -> None:
        if call.name or not name:
            return
        call.name = name
        self._count(len(name))
        self._named_calls += 1
        if name in self._declared:
            self._client_calls += 1
            self._queue.append(call)

    def _keep(self, call: _Call, arguments: str) -> None:
        call.has_arguments = True
        call.waiting.append(call.joiner.feed(arguments))
        call.waiting_size += len(arguments)
        self._count(len(arguments))

    def _drop(self, call_id: str) -> None:
        call = self.in_tick.pop(call_id, None)
        if call is None:
            return
        self._open.pop(call_id, None)
        self._named_calls -= bool(call.name)
        self._count(-len(call.id) - len(call.name) - call.waiting_size, items=-1)

    def _count(self, characters: int, *, items: int = 0) -> None:
        self._size += self._limit.add(characters, items=items)

    def _advance(self) -> list[Part]:
        """Sends the client's first unfinished call as far as it goes, and the next ones once it has ended."""
        parts: list[Part] = []
        while self._sent < len(self._queue) and not self._queue[self._sent].held:
            call = self._queue[self._sent]
            self._send(call, parts)
            if not call.ended:
                break
            self._sent += 1
        return parts

    def _send(self, call: _Call, parts: list[Part]) -> None:
        if call.position is None:
            call.position = self._opened
            self._opened += 1
            call.client_id = call.client_id or (self._shorten(call.id) if call.id else f"call_{call.position}")
            parts.append(ToolCallOpened(call.position, call.client_id, call.name))
        if call.ended:
            call.waiting.append(call.joiner.flush() if call.has_arguments else "{}")
            call.has_arguments = True
        piece = "".join(call.waiting)
        call.waiting.clear()
        self._count(-call.waiting_size)
        call.waiting_size = 0
        if piece:
            parts.append(ToolCallArguments(call.position, piece))
