"""Whose tool call is it? (decision D4)

A call of a tool that the client declared is the client's: it goes out while it comes. Any other call is held:
if the agent has really run the tool, or the run goes on to another tick, it was the agent's own business; if the run
ends on it, and nobody has run it, the client gets it.
Calls are told apart by call id; the same id twice is one call. On the wire one call follows another, because
the official clients' helpers break when two are interleaved.
"""

from __future__ import annotations

from collections.abc import Callable

from .openai.chunks import Chunk, ToolCallArguments, ToolCallHead
from .text import SurrogateJoiner


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
        self.position: int | None = None
        """Its place in the answer, once its head is out."""
        self.joiner = SurrogateJoiner()


class ToolCalls:
    """The tool calls of one run. Methods return the chunks to send now."""

    def __init__(self, declared: frozenset[str], shorten: Callable[[str], str] = str) -> None:
        """`shorten`: an agent's id → the one that the client gets."""
        self._declared = declared
        self._shorten = shorten
        # moving
        self.in_tick: dict[str, _Call] = {}
        """The current tick's calls in the order of their appearance: mostly none."""
        self._sent = 0

    @property
    def client_must_act(self) -> bool:
        """Whether this tick calls a tool that is the client's."""
        return any(call.name in self._declared for call in self.in_tick.values())

    @property
    def pending(self) -> bool:
        """Whether this tick calls any tool."""
        return any(call.name for call in self.in_tick.values())

    def start(self, call_id: str, name: str) -> list[Chunk]:
        call = self._find(call_id)
        call.name = call.name or name
        return self._advance()

    def add_arguments(self, call_id: str, piece: str) -> list[Chunk]:
        call = self._find(call_id)
        if call.ended or not piece:
            return []
        call.told = True
        call.waiting.append(call.joiner.feed(piece))
        return self._advance()

    def end(self, call_id: str) -> list[Chunk]:
        """The last piece has come. A call that never said any arguments waits for its whole form."""
        call = self._find(call_id)
        call.ended = call.told
        return self._advance()

    def add_whole(self, call_id: str, name: str, arguments: str, *, held: bool = False) -> list[Chunk]:
        """`held`: it goes out at the end of its message, behind the text that still follows."""
        call = self._find(call_id)
        call.held = call.held or held
        call.name = call.name or name
        if not call.told and arguments:
            call.told = True
            call.waiting.append(call.joiner.feed(arguments))
        call.ended = True
        return self._advance()

    def end_message(self) -> list[Chunk]:
        """The model has said all of its calls: those without an end have one now."""
        for call in self.in_tick.values():
            call.ended = True
            call.held = False
        return self._advance()

    def hand_out(self) -> list[Chunk]:
        """The run ends on this tick, so all of its calls that nobody has run are the client's."""
        self._declared |= {call.name for call in self.in_tick.values() if call.name}
        return self.end_message()

    def settle(self, call_id: str) -> list[Chunk]:
        """The call was the agent's own business; but what was declared is the client's all the same."""
        if not self.is_clients(call_id):
            self.in_tick.pop(call_id, None)
        return []

    def is_clients(self, call_id: str) -> bool:
        return call_id in self.in_tick and self.in_tick[call_id].name in self._declared

    def ask(self, call_id: str, name: str, arguments: str) -> list[Chunk]:
        """A call that is not the model's but the proxy's."""
        self.in_tick.clear()
        self._declared |= {name}
        self._find(call_id).shown = call_id
        return self.add_whole(call_id, name, arguments)

    def forget(self) -> None:
        """The run goes on to another tick, so the calls that were held were the agent's own."""
        self.in_tick.clear()

    def _find(self, call_id: str) -> _Call:
        if call_id not in self.in_tick:
            self.in_tick[call_id] = _Call(call_id)
        return self.in_tick[call_id]

    def _advance(self) -> list[Chunk]:
        """Sends what may go out: the first unfinished call of the client, then the next."""
        chunks: list[Chunk] = []
        for call in self.in_tick.values():
            if call.name not in self._declared:
                continue
            if call.held:
                break
            self._send(call, chunks)
            if not call.ended:
                break
        return chunks

    def _send(self, call: _Call, chunks: list[Chunk]) -> None:
        if call.position is None:
            call.position = self._sent
            self._sent += 1
            call.shown = call.shown or (self._shorten(call.id) if call.id else f"call_{call.position}")
            chunks.append(ToolCallHead(call.position, call.shown, call.name))
        if call.ended:
            call.waiting.append(call.joiner.flush() if call.told else "{}")
            call.told = True
        piece = "".join(call.waiting)
        call.waiting.clear()
        if piece:
            chunks.append(ToolCallArguments(call.position, piece))
