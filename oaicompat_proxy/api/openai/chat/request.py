"""Parses a chat request: bytes to an `AgentRequest`, or an error that names the field.

Fields that the proxy acts on become attributes. Every other parameter is passed to the agent in `parameters`, as the
client sent it.

Source: `api/openai/PROTOCOL.md`, "Chat request" and "Bad requests".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....core.errors import InvalidRequest
from ....core.message import Block, Message, Text, ToolCall
from ....core.request import AgentRequest, RequestLimits
from ...json_body import parse_json
from ...parameters import find_parameters, with_exact
from ...protocol import ParsedBody
from ..custom_tools import to_arguments
from ..invalid_requests import array_above_max_length
from ..media import MediaReader
from ..parameters import METADATA_KEY
from ..schema.requests import CHAT
from ..stream_options import parse_streaming
from ..unsupported import IN_CHAT, refuse_unsupported
from ..validation import check, check_numbers, check_text
from .tool_choice import parse_tool_names
from .tool_results import check_pairing
from .tools import TOOL_PARAMETERS, custom_names, parse_tools

_USED = frozenset({"model", "messages", "stream", "stream_options", *IN_CHAT})


def read(body: bytes, limits: RequestLimits) -> ParsedBody:
    """Raises InvalidRequest for a body that is no JSON object, or one of too many values."""
    chat = parse_json(body, max_values=limits.values)
    return with_exact(body, chat, _USED)


def build_request(body: ParsedBody, limits: RequestLimits) -> AgentRequest:
    """Raises InvalidRequest for any error in the body, and nothing else."""
    chat, size = body.members, body.size
    _check_counts(chat, size, limits)
    check(CHAT, chat)
    refuse_unsupported(chat, IN_CHAT)
    stream, include_usage = parse_streaming(chat)
    tool_names = parse_tool_names(chat)
    media = MediaReader(limits.media)
    messages = _build_messages(chat["messages"], media)
    check_text(size - media.encoded, limits.text, "messages")
    check_pairing(messages)
    parameters, exact = find_parameters(body, _USED, TOOL_PARAMETERS)
    check_numbers(exact)
    model, tools = chat.get("model") or "", parse_tools(chat, exact, tool_names)
    form = {
        "include_usage": include_usage,
        "legacy_functions": bool(chat.get("functions")),
        "custom_tools": custom_names(chat),
    }
    # by position: with ten names a call of a class takes 4 k instructions more
    return AgentRequest(
        model, messages, stream, tool_names, parameters, METADATA_KEY, exact, tools, TOOL_PARAMETERS, form
    )


def _check_counts(chat: dict[str, Any], size: int, limits: RequestLimits) -> None:
    """Called before the schema is checked, to bound that work. `size`: bytes of the body."""
    messages, tools = chat.get("messages"), chat.get("tools")
    if isinstance(tools, list) and len(tools) > limits.tools:
        raise array_above_max_length("tools", limits.tools, len(tools))
    if not isinstance(messages, list):
        return
    if len(messages) > limits.messages:
        raise array_above_max_length("messages", limits.messages, len(messages))
    if size <= limits.parts:  # so few bytes hold fewer parts
        return
    parts = 0
    for message in messages:
        if type(message) is dict:
            content, calls = message.get("content"), message.get("tool_calls")
            parts += (len(content) if type(content) is list else 0) + (len(calls) if type(calls) is list else 0)
    if parts > limits.parts:
        wanted = f"Expected at most {limits.parts} content parts and tool calls together, but got {parts}."
        raise InvalidRequest(f"Invalid 'messages': {wanted}", param="messages", code="array_above_max_length")


# Messages have passed the schema: an IndexError or KeyError here would be a bug of the schema.


def _build_messages(messages: list[dict[str, Any]], media: MediaReader) -> tuple[Message, ...]:
    return tuple([_BUILDERS[message["role"]](message, index, media) for index, message in enumerate(messages)])


def _build_system(message: dict[str, Any], index: int, media: MediaReader) -> Message:
    return Message("system", _build_blocks(message.get("content") or None, index, media), message.get("name") or None)


def _build_user(message: dict[str, Any], index: int, media: MediaReader) -> Message:
    return Message("user", _build_blocks(message["content"], index, media), message.get("name") or None)


def _build_assistant(message: dict[str, Any], index: int, media: MediaReader) -> Message:
    """Clients send an empty answer back as null, as "" or without content, and the conversation must continue."""
    blocks = _build_blocks(message.get("content") or None, index, media)
    refusal = message.get("refusal")
    if refusal:
        blocks += (Text(refusal),)
    return Message("assistant", blocks, message.get("name") or None, _build_calls(message))


def _build_tool(message: dict[str, Any], index: int, media: MediaReader) -> Message:
    blocks = _build_blocks(message.get("content") or None, index, media)
    return Message("tool", blocks, None, (), message["tool_call_id"])


def _build_function(message: dict[str, Any], index: int, media: MediaReader) -> Message:
    return Message("tool", _build_blocks(message.get("content") or None, index, media), message["name"])


_BUILDERS: Mapping[str, Callable[[dict[str, Any], int, MediaReader], Message]] = {
    "system": _build_system,
    "developer": _build_system,
    "user": _build_user,
    "assistant": _build_assistant,
    "tool": _build_tool,
    "function": _build_function,
}

_TEXT_FIELDS = {"text": "text", "refusal": "refusal"}
"""The field that contains the text of a content part; parts of other types are media."""


def _build_blocks(content: Any, index: int, media: MediaReader) -> tuple[Block, ...]:
    """`index`: of the message."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    blocks: list[Block] = []
    for part in content:
        field = _TEXT_FIELDS.get(part["type"])
        if field:
            blocks.append(Text(part[field]))
        else:
            blocks.append(media.read(part, f"messages[{index}].content[{len(blocks)}]"))
    return tuple(blocks)


def _build_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    called = message.get("tool_calls")
    calls = tuple(map(_build_call, called)) if called else ()
    legacy = message.get("function_call")
    if legacy:
        calls += (ToolCall("", legacy["name"], legacy.get("arguments") or ""),)
    return calls


def _build_call(call: dict[str, Any]) -> ToolCall:
    if call["type"] == "custom":
        return ToolCall(call["id"], call["custom"]["name"], to_arguments(call["custom"].get("input") or ""))
    return ToolCall(call["id"], call["function"]["name"], call["function"].get("arguments") or "")
