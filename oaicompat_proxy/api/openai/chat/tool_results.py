"""Checks that each tool call has a result and each result a call; OpenAI's service rejects other conversations.

Every id in an assistant's `tool_calls` must be answered by a `tool` message before the next message of
another role, and every `tool` message must answer such a call. The older `function_call` and `function`
messages carry no ids and are exempt; they stand between a call and its result without separating them.

Source: `api/openai/PROTOCOL.md`, "Messages" and "Bad requests". The path `messages.[3].role` and the spelling
"preceeding" are the service's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from ....core.errors import InvalidRequest
from ....core.message import Message
from ..invalid_requests import clip

MAX_LISTED = 16
"""Ids that a message lists before it only counts the rest."""


def check_pairing(messages: Iterable[Message]) -> None:
    """Raises InvalidRequest for the first call without result or result without call.

    The error of a call without result names the message after the call, or the call's own if it is the last one.
    """
    called: dict[str, None] = {}
    waiting: dict[str, None] = {}
    index = 0
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id is not None:
                _check_answer(index, message.tool_call_id, called)
                waiting.pop(message.tool_call_id, None)
            continue
        if waiting:
            raise _unanswered(index, list(waiting))
        if message.tool_calls:
            called = {call.id: None for call in message.tool_calls}
            waiting = {call_id: None for call_id in called if call_id}
        elif called:
            called = {}
    if waiting:
        raise _unanswered(index, list(waiting))


def _check_answer(index: int, call_id: str, called: dict[str, None]) -> None:
    if not called:
        raise InvalidRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            param=f"messages.[{index}].role",
        )
    if call_id not in called:
        message = f"'tool_call_id' of '{clip(call_id)}' not found in 'tool_calls' of previous message."
        raise InvalidRequest(f"Invalid parameter: {message}", param=f"messages.[{index}].tool_call_id")


def _unanswered(index: int, ids: list[str]) -> InvalidRequest:
    listed = ", ".join(clip(call_id) for call_id in ids[:MAX_LISTED])
    rest = f" and {len(ids) - MAX_LISTED} more" if len(ids) > MAX_LISTED else ""
    return InvalidRequest(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {listed}{rest}",
        param=f"messages.[{index}].role",
    )
