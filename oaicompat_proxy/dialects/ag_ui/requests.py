"""Builds the request to an AG-UI agent, a `RunAgentInput`.

Source: AG-UI 1.0, `ag-ui-protocol`. `state`, `tools`, `context` and `forwardedProps` are always present, because
versions 0.x require them. Without `protocolVersion` a producer of 1.0 may answer in an older form, which does not mark
the events of sub-agents.

Bodies are ASCII-escaped JSON, which every server decodes alike, including lone surrogates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core import ascii_json
from ...core.json_text import JsonText
from ...core.message import Block, Media, Message, Text, Tool, ToolCall
from ...core.turn import Turn
from .resumption import NO_RESUMPTION, build_resumption, with_original_calls

PROTOCOL_VERSION = "1.0"

USER = "The user for whom the request is made"
"""The description of the entry of `context` that names the user; `forwardedProps.user` is the same."""

UNKNOWN_TYPE = "application/octet-stream"


def build_run(thread: str, run_id: str, turn: Turn) -> bytes:
    """The body of a run's request: the messages of the turn, or, if it has none, its parts as one user message.

    Raises what `build_resumption` raises.
    """
    messages = turn.messages or (Message("user", turn.blocks),)
    resumption = NO_RESUMPTION
    if turn.reply is not None:
        resumption = build_resumption(turn.reply)
        messages = tuple(_restore(turn.messages, turn.reply.question, resumption.results))
    run_input: dict[str, Any] = {
        "threadId": thread,
        "runId": run_id,
        "protocolVersion": PROTOCOL_VERSION,
        "state": {},
        "messages": [_message(each, each.id or f"{run_id}-{number}") for number, each in enumerate(messages, 1)],
        "tools": [_tool(tool) for tool in turn.tools],
        "context": [{"description": USER, "value": turn.user}] if turn.user else [],
        "forwardedProps": {**turn.metadata, **resumption.props},
        **({"resume": resumption.resume} if resumption.resume else {}),
    }
    return ascii_json.encode(run_input)


def _restore(messages: tuple[Message, ...], question: str, results: Mapping[str, str]) -> Iterator[Message]:
    """Replaces the proxy's confirmation call by the agent's original calls, and adds `results` as tool messages."""
    for message in messages:
        calls: list[ToolCall] = []
        for call in message.tool_calls:
            calls += with_original_calls(call) if call.id == question else [call]
        if calls or message.blocks or not message.tool_calls:
            yield replace(message, tool_calls=tuple(calls))
    for call_id, result in results.items():
        yield Message("tool", (Text(result),), tool_call_id=call_id)


def _message(message: Message, message_id: str) -> dict[str, Any]:
    named = {"name": message.name} if message.name else {}
    base = {"id": message_id, "role": message.role, **named}
    if message.role == "tool":
        base["toolCallId"] = message.tool_call_id or ""
        return {**base, "content": _content(message)}
    if message.role == "assistant" and message.tool_calls:
        content = {"content": _text(message)} if message.blocks else {}
        return {**base, **content, "toolCalls": [_call(call) for call in message.tool_calls]}
    return {**base, "content": _content(message)}


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A list of parts only if there is more than text. Agents of versions 0.x take a tool's result, and older ones a
    user's message, as a string.
    """
    if all(isinstance(block, Text) for block in message.blocks):
        return _text(message)
    return [_part(block) for block in message.blocks]


def _text(message: Message) -> str:
    return "\n".join(block.text for block in message.blocks if isinstance(block, Text))


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters if isinstance(tool.parameters, JsonText) else dict(tool.parameters)
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _part(block: Block) -> dict[str, Any]:
    if not isinstance(block, Media):
        return {"type": "text", "text": block.text}
    named = {"metadata": {"filename": block.name}} if block.name else {}
    return {"type": block.kind, "source": _source(block), **named}


def _source(media: Media) -> dict[str, Any]:
    typed = {"mimeType": media.mime_type} if media.mime_type else {}
    if media.url is not None:
        return {"type": "url", "value": media.url, **typed}
    if media.file_id is not None:
        return {"type": "file", "value": media.file_id, **typed}
    return {"type": "data", "value": media.data or "", "mimeType": media.mime_type or UNKNOWN_TYPE}
