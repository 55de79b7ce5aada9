"""The parts of an answer → its content blocks, one after another.

No part marks the end of a client's call: its block stays open until the next call or the end of the answer. Parts that
come in between wait, because blocks may not overlap.

Source: `api/anthropic/PROTOCOL.md`, "Stream" and "The agent's own tools".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ....core import json_text
from ....core.answer import (
    AgentToolCalled,
    AgentToolReturned,
    Annotations,
    AnswerFinished,
    Part,
    ReasoningPart,
    TextBatch,
    TextPart,
    ToolCallArguments,
    ToolCallOpened,
    UrlCitation,
    size_of,
)
from ....core.errors import UpstreamAnswerTooLong
from ....core.immutable import readonly
from .call_input import CallInput, parse_input

TRUNCATED = "… (truncated)"
"""Follows the beginning of a tool's output that is too long to be shown."""

TEXT, THINKING, CALL = "text", "thinking", "tool_use"


@readonly
class BlockOptions:
    """The client's options and the settings that an answer depends on."""

    answer_id: str
    """Makes the ids of the agent's own calls unique. It is the signature of thinking, too: some clients send thinking
    back only with one."""
    server_name: str
    """The server name of the agent's own tools: the model as the client named it."""
    thinking: bool = True
    max_buffered: int = 1 << 40
    """Characters of the parts that may wait for the end of a call."""


class BlockWriter(Protocol):
    """Writes blocks as events, or collects them. Methods return the bytes to send now, if any."""

    def open(self, block: dict[str, Any]) -> bytes:
        """Begins a block. `block`: its start; complete if no deltas follow."""

    def add_text(self, texts: list[bytes], text: str) -> bytes:
        """Appends to a text block. `texts`: the pieces of `text`, each as the inside of a JSON string."""

    def add_thinking(self, text: str) -> bytes: ...

    def add_arguments(self, text: str) -> bytes: ...

    def sign(self, signature: str) -> bytes:
        """Adds the signature to a thinking block."""

    def cite(self, citation: dict[str, Any]) -> bytes:
        """Adds a citation to a text block."""

    def close(self) -> bytes: ...


class AnswerBlocks:
    """The content of one answer. `take` adds a part and returns its bytes."""

    def __init__(self, writer: BlockWriter, options: BlockOptions) -> None:
        self._writer = writer
        self._options = options
        # state
        self._open = ""
        """The type of the open block."""
        self._input = CallInput()
        """The input of the open call."""
        self._citations: tuple[UrlCitation, ...] = ()
        """Those that wait for the end of a text."""
        self._waiting: list[Part] = []
        self._room = options.max_buffered
        self._agent_calls: dict[str, str] = {}
        """The ids of calls without a result, by the agent's ids."""
        self._agent_call_count = 0

    def add(self, part: Part) -> bytes:
        """Raises UpstreamAnswerTooLong."""
        if self._open == CALL and type(part) in _MAY_WAIT:
            self._wait(part)
            return b""
        handle = _HANDLERS.get(type(part))
        return b"" if handle is None else handle(self, part)

    def _wait(self, part: Part) -> None:
        self._room -= size_of(part)
        if self._room < 0:
            raise UpstreamAnswerTooLong("The agent says more beside a tool call than this server holds.")
        self._waiting.append(part)

    def _add_text(self, part: TextPart | TextBatch) -> bytes:
        texts = part.encoded if isinstance(part, TextBatch) else [json_text.encode(part.text)[1:-1]]
        if self._open == TEXT:
            return self._writer.add_text(texts, part.text)
        return self._begin(TEXT, {"type": TEXT, "text": ""}) + self._writer.add_text(texts, part.text)

    def _add_reasoning(self, part: ReasoningPart) -> bytes:
        if not self._options.thinking:
            return b""
        start = b""
        if self._open != THINKING:
            start = self._begin(THINKING, {"type": THINKING, "thinking": "", "signature": ""})
        return start + self._writer.add_thinking(part.text)

    def _open_call(self, part: ToolCallOpened) -> bytes:
        start = self._begin(CALL, {"type": CALL, "id": part.id, "name": part.name, "input": {}})
        self._input = CallInput()
        return start

    def _add_arguments(self, part: ToolCallArguments) -> bytes:
        if self._open != CALL:
            return b""
        arguments = self._input.add(part.arguments)
        if self._input.size > self._room:
            raise UpstreamAnswerTooLong("The arguments of a tool call are longer than this server holds.")
        return self._writer.add_arguments(arguments) if arguments else b""

    def _show_agent_call(self, part: AgentToolCalled) -> bytes:
        """Shows the call with its whole input: Claude Code takes input in deltas for a broken stream."""
        self._agent_call_count += 1
        call_id = f"mcptoolu_{self._options.answer_id.rpartition('_')[2]}{self._agent_call_count:04x}"
        self._agent_calls[part.id] = call_id
        server = self._options.server_name
        return self._show(
            {
                "type": "mcp_tool_use",
                "id": call_id,
                "name": part.name,
                "server_name": f"{server}/{part.agent}" if part.agent else server,
                "input": parse_input(part.arguments),
            }
        )

    def _show_agent_result(self, part: AgentToolReturned) -> bytes:
        call_id = self._agent_calls.pop(part.id, None)
        if call_id is None:
            return b""
        text = part.output if part.error is None else part.error
        content = [{"type": "text", "text": text + TRUNCATED if part.truncated else text}]
        is_error = part.error is not None
        return self._show({"type": "mcp_tool_result", "tool_use_id": call_id, "is_error": is_error, "content": content})

    def _annotate(self, part: Annotations) -> bytes:
        """Citations stand at the end of their block. A closed block gets none: they wait for the next one's end."""
        self._citations += part.citations
        return b""

    def _finish(self, part: AnswerFinished) -> bytes:
        return self._end()

    def _show(self, block: dict[str, Any]) -> bytes:
        return self._end() + self._writer.open(block) + self._writer.close()

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        ending = self._end()
        self._open = kind
        return ending + self._writer.open(block)

    def _end(self) -> bytes:
        """Ends the open block, then adds the parts that waited for this."""
        kind, self._open = self._open, ""
        if not kind:
            return b""
        ended = self._complete(kind) + self._writer.close()
        if not self._waiting:
            return ended
        waiting, self._waiting, self._room = self._waiting, [], self._options.max_buffered
        return ended + b"".join(map(self.add, waiting)) + self._end()

    def _complete(self, kind: str) -> bytes:
        """What is missing before the end of a block."""
        if kind == THINKING:
            return self._writer.sign(self._options.answer_id)
        if kind == TEXT:
            citations, self._citations = self._citations, ()
            return b"".join(self._writer.cite(citation_object(each)) for each in citations)
        if kind == CALL and (arguments := self._input.end()):
            return self._writer.add_arguments(arguments)
        return b""


def citation_object(citation: UrlCitation) -> dict[str, Any]:
    """A citation of the only type that has an address."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": "",
        "encrypted_index": "",
    }


_MAY_WAIT = frozenset({TextPart, TextBatch, ReasoningPart, AgentToolCalled, AgentToolReturned, Annotations})

_HANDLERS: dict[type[Any], Callable[[AnswerBlocks, Any], bytes]] = {
    TextPart: AnswerBlocks._add_text,
    TextBatch: AnswerBlocks._add_text,
    ReasoningPart: AnswerBlocks._add_reasoning,
    ToolCallOpened: AnswerBlocks._open_call,
    ToolCallArguments: AnswerBlocks._add_arguments,
    AgentToolCalled: AnswerBlocks._show_agent_call,
    AgentToolReturned: AnswerBlocks._show_agent_result,
    Annotations: AnswerBlocks._annotate,
    AnswerFinished: AnswerBlocks._finish,
}
