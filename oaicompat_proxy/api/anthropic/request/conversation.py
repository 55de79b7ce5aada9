"""The messages of a request → the messages of a conversation, as a chat request with the same conversation has them.

A tool's result becomes a message of its own. Blocks that only an answer has (thinking, the calls that the agent ran
itself and their results) are left out: the agent knows its own actions.

Coding agents add texts of their own to the user's: `<system-reminder>` blocks, and messages of the role `system` after
the user's. The agent answers the last message, so these texts are moved before the user's words: a system message as
such, a reminder as a user message. After the results of tools there are no such words; there a reminder becomes a part
of the last result.

Source: `api/anthropic/PROTOCOL.md`, "Messages" and "Clients".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....core import json_text
from ....core.message import Block, Message, Text, ToolCall
from .content import Content, build_block, build_blocks, encode_unknown
from .media import MediaReader
from .tool_results import check_pairing

REMINDER = ("<system-reminder>", "</system-reminder>")
"""The beginning and the end of a text that Claude Code adds."""

BILLING = "x-anthropic-billing-header:"
"""The beginning of a block of the system prompt that is meant for Anthropic's service alone."""

FAILED = "The tool failed:"
"""The first words of a result that is an error."""


def build_messages(messages: Sequence[Mapping[str, Any]], system: Content, media: MediaReader) -> tuple[Message, ...]:
    """`messages` and `system` have been checked. Raises InvalidRequest."""
    check_pairing(messages)
    conversation = [Message("system", blocks)] if (blocks := _build_system(system)) else []
    prompt_place: int | None = None
    for index, message in enumerate(messages):
        path, content = f"messages.{index}.content", message["content"]
        if message["role"] == "system":
            place = len(conversation) if prompt_place is None else prompt_place
            conversation.insert(place, Message("system", _build_system(content)))
            prompt_place = None if prompt_place is None else prompt_place + 1
        elif message["role"] == "assistant":
            prompt_place = None
            conversation.append(_build_answer(content))
        else:
            before, results, prompt = _build_user(content, path, media)
            conversation += results
            conversation += [Message("user", (block,)) for block in before]
            prompt_place = len(conversation) if prompt else prompt_place
            conversation += [Message("user", prompt)] if prompt else []
    return tuple(conversation)


def _build_system(content: Content) -> tuple[Block, ...]:
    """System messages hold text only."""
    if not content:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    texts = [block["text"] if block["type"] == "text" else encode_unknown(block) for block in content]
    return tuple(Text(text) for text in texts if not text.startswith(BILLING))


def _build_user(
    content: Content, path: str, media: MediaReader
) -> tuple[list[Block], list[Message], tuple[Block, ...]]:
    """The reminders, the results of tools, and the user's own words."""
    if content is None or isinstance(content, str):
        return [], [], (Text(content or ""),)
    reminders: list[Block] = []
    results: list[Message] = []
    prompt: list[Block] = []
    for index, block in enumerate(content):
        where = f"{path}.{index}"
        if block["type"] == "tool_result":
            results.append(_build_result(block, where, media))
        elif is_reminder(block):
            reminders.append(Text(block["text"]))
        else:
            prompt += build_block(block, where, media)
    if prompt:
        return reminders, results, tuple(prompt)
    if results:
        last = results[-1]
        results[-1] = Message("tool", (*last.blocks, *reminders), None, (), last.tool_call_id)
        return [], results, ()
    return [], [], tuple(reminders) or (Text(""),)


def is_reminder(block: Mapping[str, Any]) -> bool:
    if block["type"] != "text":
        return False
    text = str(block["text"]).strip()
    return text.startswith(REMINDER[0]) and text.endswith(REMINDER[1]) and text.count(REMINDER[0]) == 1


def _build_result(block: Mapping[str, Any], path: str, media: MediaReader) -> Message:
    blocks = build_blocks(block.get("content"), f"{path}.content", media)
    if block.get("is_error"):
        blocks = (Text(FAILED), *blocks)
    return Message("tool", blocks, None, (), block["tool_use_id"])


def _build_answer(content: Content) -> Message:
    if content is None or isinstance(content, str):
        return Message("assistant", (Text(content),) if content else ())
    blocks = tuple(Text(block["text"]) for block in content if block["type"] == "text")
    calls = tuple(
        ToolCall(block["id"], block["name"], _encode_input(block["input"]))
        for block in content
        if block["type"] == "tool_use"
    )
    return Message("assistant", blocks, None, calls)


def _encode_input(arguments: Mapping[str, Any]) -> str:
    """The input as JSON text."""
    return json_text.encode(arguments).decode()
