"""The official client of a proxy in front of an AG-UI agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI

Front = Callable[..., Awaitable[AsyncOpenAI]]

TIDE: Any = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "Tide table",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
    },
}

both_ways = pytest.mark.parametrize("stream", [True, False])


async def ask(client: AsyncOpenAI, *messages: Any, stream: bool = False, **fields: Any) -> Any:
    """The whole completion; from a stream, the one that the official client builds of it."""
    conversation = [{"role": "user", "content": each} if isinstance(each, str) else each for each in messages]
    asked: Any = {"model": "default", "messages": conversation, **fields}
    if not stream:
        return await client.chat.completions.create(**asked)
    async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        return await events.get_final_completion()


def echo(message: Any) -> dict[str, Any]:
    """The message of an answer in the form in which clients send it back."""
    mine: dict[str, Any] = message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True)
    return mine
