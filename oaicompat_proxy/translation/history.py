"""A conversation as messages with ids, for agents that take it message by message.

Such agents identify messages by id, but clients send no ids. The id of a message is a hash of the conversation up to
this message, so the same conversation always has the same ids. A call of OpenAI's older `functions` has no id either;
it gets the id of its message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..core.message import Block, Message, Text
from . import narration


def to_native_messages(messages: Sequence[Message]) -> Iterator[Message]:
    """The same messages with ids, with a tool's name in each of its results, and without narration."""
    conversation = hashlib.sha256()
    legacy_id = ""
    tools: dict[str, str] = {}
    for message in messages:
        conversation.update(repr(message).encode("utf-8", "surrogatepass"))
        message_id = f"m-{conversation.hexdigest()[:24]}"
        if message.role == "assistant":
            legacy_id = message_id
        calls = tuple(replace(call, id=call.id or legacy_id) for call in message.tool_calls)
        tools.update((call.id, call.name) for call in calls)
        call_id = (message.tool_call_id or legacy_id) if message.role == "tool" else None
        name = message.name or (tools.get(call_id) if call_id is not None else None)
        yield Message(message.role, tuple(without_narration(message)), name, calls, call_id, message_id)


def without_narration(message: Message) -> Iterator[Block]:
    """The blocks of a message without the lines in which the proxy described the agent's tool calls."""
    for block in message.blocks:
        if isinstance(block, Text) and message.role == "assistant":
            yield Text(narration.remove(block.text))
        else:
            yield block
