"""What is put to an AG-UI agent: one `RunAgentInput`.

Source: AG-UI 1.0, `ag-ui-protocol`. `state`, `tools`, `context` and `forwardedProps` are always there, because the 0.x
age requires them. Without `protocolVersion` a producer of 1.0 may speak an older form, without the marks of sub-agents.

Bodies are ASCII-escaped JSON, which every server decodes alike, half characters and all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core import ascii_json
from ...core import turn as turns
from ...core.turn import Block, JsonText, Media, Text, Tool, Turn, Utterance
from .answers import NOTHING_WAITED, answer_all, original_calls

PROTOCOL_VERSION = "1.0"

UNKNOWN_TYPE = "application/octet-stream"


def build_run(thread: str, run_id: str, turn: Turn) -> bytes:
    """The body of a run: the turn message by message where it has them all, else as one user message.

    Raises what `answer_all` raises.
    """
    utterances = turn.utterances or (Utterance("user", turn.blocks),)
    resumption = NOTHING_WAITED
    if turn.answer is not None:
        resumption = answer_all(turn.answer)
        utterances = tuple(_restore(turn.utterances, turn.answer.question, resumption.results))
    run_input: dict[str, Any] = {
        "threadId": thread,
        "runId": run_id,
        "protocolVersion": PROTOCOL_VERSION,
        "state": {},
        "messages": [_message(each, each.id or f"{run_id}-{number}") for number, each in enumerate(utterances, 1)],
        "tools": [_tool(tool) for tool in turn.tools],
        "context": [],
        "forwardedProps": {**turn.metadata, **resumption.props},
        **({"resume": resumption.resume} if resumption.resume else {}),
    }
    return ascii_json.encode(run_input)


def _restore(utterances: tuple[Utterance, ...], question: str, results: Mapping[str, str]) -> Iterator[Utterance]:
    """The agent's own calls in place of the question to the client, and the answers that are results of calls."""
    for utterance in utterances:
        calls = [each for call in utterance.calls for each in (original_calls(call) if call.id == question else [call])]
        if calls or utterance.blocks or not utterance.calls:
            yield replace(utterance, calls=tuple(calls))
    for call_id, result in results.items():
        yield Utterance("tool", (Text(result),), (), call_id)


def _message(utterance: Utterance, message_id: str) -> dict[str, Any]:
    named = {"name": utterance.name} if utterance.name else {}
    base = {"id": message_id, "role": utterance.role, **named}
    if utterance.role == "tool":
        return {"id": message_id, "role": "tool", "toolCallId": utterance.call_id or "", "content": _content(utterance)}
    if utterance.role == "assistant" and utterance.calls:
        said = {"content": _text(utterance)} if utterance.blocks else {}
        return {**base, **said, "toolCalls": [_call(call) for call in utterance.calls]}
    return {**base, "content": _content(utterance)}


def _content(utterance: Utterance) -> str | list[dict[str, Any]]:
    """Parts only where there is more than text: agents of the 0.x age take a tool's result, and older ones a user's
    message, as a string.
    """
    if all(isinstance(block, Text) for block in utterance.blocks):
        return _text(utterance)
    return [_part(block) for block in utterance.blocks]


def _text(utterance: Utterance) -> str:
    return "\n".join(block.text for block in utterance.blocks if isinstance(block, Text))


def _call(call: turns.Call) -> dict[str, Any]:
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
