"""Whose tool call is it? (decision D4)

A call of a tool that the client declared is the client's: it goes out while it comes. Any other call is held:
if the agent has really run the tool, or the run goes on to another tick, it was the agent's own business; if the run
ends on it, and nobody has run it, the client gets it.
Calls are told apart by call id; the same id twice is one call. On the wire one call follows another, because
the official clients' helpers break when two are interleaved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..core.answer import Part, ToolCallArguments, ToolCallOpened
from .held import Held
from .text_channel import SurrogateJoiner


class _Call:
    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.shown = ""
        """The id that the client gets, once there is one."""
        self.name = ""
        self.ended = False
        self.told = False
        """Its arguments have come, in pieces or whole."""
        self.held = False
        """Until its message is over, whose text is to stand in front of it."""
        self.waiting: list[str] = []
        self.waiting_size = 0
        self.position: int | None = None
        """Its place in the answer, once its head is out."""
        self.joiner = SurrogateJoiner()


class ToolCalls:
    """The tool calls of one run. Methods return the chunks to send now; how many calls there are costs no time."""

    def __init__(self, declared: frozenset[str], held: Held, shorten: Callable[[str], str] = str) -> None:
        """`held`: what is kept of the calls is counted there, which raises UpstreamAnswerTooLong. `shorten`: an agent's
        id → the one that the client gets.
        """
        self._declared = declared
        self._held = held
        self._shorten = shorten
        # moving
        self.in_tick: dict[str, _Call] = {}
        """The current tick's calls in the order of their appearance: mostly none."""
        self._open: dict[str, _Call] = {}
        """Those of them that have no end, or whose message has none."""
        self._queue: deque[_Call] = deque()
        """The client's calls that are not out in full."""
        self._clients = 0
        self._named = 0
        self._size = 0
        self._sent = 0

    @property
    def client_must_act(self) -> bool:
        """Whether this tick calls a tool that is the client's."""
        return self._clients > 0

    @property
    def pending(self) -> bool:
        """Whether this tick calls any tool."""
        return self._named > 0

    def start(self, call_id: str, name: str) -> list[Part]:
        self._give_name(self._find(call_id), name)
        return self._advance()

    def add_arguments(self, call_id: str, piece: str) -> list[Part]:
        call = self._find(call_id)
        if call.ended or not piece:
            return []
        self._keep(call, piece)
        return self._advance()

    def end(self, call_id: str) -> list[Part]:
        """The last piece has come. A call that never said any arguments waits for its whole form."""
        call = self._find(call_id)
        call.ended = call.told
        if not call.ended:
            self._open[call_id] = call
        return self._advance()

    def add_whole(self, call_id: str, name: str, arguments: str, *, held: bool = False) -> list[Part]:
        """`held`: it goes out at the end of its message, behind the text that still follows."""
        call = self._find(call_id)
        call.held = call.held or held
        self._give_name(call, name)
        if not call.told and arguments:
            self._keep(call, arguments)
        call.ended = True
        if not call.held:
            self._open.pop(call_id, None)
        return self._advance()

    def end_message(self) -> list[Part]:
        """The model has said all of its calls: those without an end have one now."""
        for call in self._open.values():
            call.ended = True
            call.held = False
        self._open.clear()
        return self._advance()

    def hand_out(self) -> list[Part]:
        """The run ends on this tick, so all of its calls that nobody has run are the client's."""
        named = [call for call in self.in_tick.values() if call.name and call.name not in self._declared]
        self._declared = self._declared.union(call.name for call in named)
        self._clients += len(named)
        self._queue.extend(named)
        return self.end_message()

    def settle(self, call_id: str) -> list[Part]:
        """The call was the agent's own business; but what was declared is the client's all the same."""
        if not self.is_clients(call_id):
            self._drop(call_id)
        return []

    def is_clients(self, call_id: str) -> bool:
        return call_id in self.in_tick and self.in_tick[call_id].name in self._declared

    def ask(self, call_id: str, name: str, arguments: str) -> list[Part]:
        """A call that is not the model's but the proxy's."""
        self.forget()
        self._declared |= {name}
        self._find(call_id).shown = call_id
        return self.add_whole(call_id, name, arguments)

    def forget(self) -> None:
        """The run goes on to another tick, so the calls that were held were the agent's own."""
        self.in_tick.clear()
        self._open.clear()
        self._queue.clear()
        self._clients = self._named = 0
        self._held.release(self._size)
        self._size = 0

    def _find(self, call_id: str) -> _Call:
        call = self.in_tick.get(call_id)
        if call is None:
            call = self.in_tick[call_id] = self._open[call_id] = _Call(call_id)
            self._count(len(call_id), items=1)
        return call

    def _give_name(self, call: _Call, name: str) -> None:
        if call.name or not name:
            return
        call.name = name
        self._count(len(name))
        self._named += 1
        if name in self._declared:
            self._clients += 1
            self._queue.append(call)

    def _keep(self, call: _Call, arguments: str) -> None:
        call.told = True
        call.waiting.append(call.joiner.feed(arguments))
        call.waiting_size += len(arguments)
        self._count(len(arguments))

    def _drop(self, call_id: str) -> None:
        call = self.in_tick.pop(call_id, None)
        if call is None:
            return
        self._open.pop(call_id, None)
        self._named -= bool(call.name)
        self._count(-len(call.id) - len(call.name) - call.waiting_size, items=-1)

    def _count(self, characters: int, *, items: int = 0) -> None:
        self._size += self._held.add(characters, items=items)

    def _advance(self) -> list[Part]:
        """Sends what may go out: the first unfinished call of the client, then the next."""
        chunks: list[Part] = []
        while self._queue and not self._queue[0].held:
            call = self._queue[0]
            self._send(call, chunks)
            if not call.ended:
                break
            self._queue.popleft()
        return chunks

    def _send(self, call: _Call, chunks: list[Part]) -> None:
        if call.position is None:
            call.position = self._sent
            self._sent += 1
            call.shown = call.shown or (self._shorten(call.id) if call.id else f"call_{call.position}")
            chunks.append(ToolCallOpened(call.position, call.shown, call.name))
        if call.ended:
            call.waiting.append(call.joiner.flush() if call.told else "{}")
            call.told = True
        piece = "".join(call.waiting)
        call.waiting.clear()
        self._count(-call.waiting_size)
        call.waiting_size = 0
        if piece:
            chunks.append(ToolCallArguments(call.position, piece))
