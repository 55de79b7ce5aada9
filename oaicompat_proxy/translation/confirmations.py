"""Confirmations (setting `confirmations = ask`): if the agent waits for a human before it runs a tool, the client is
asked.

The question is a call of the tool `confirm_tool_call`, which clients do not declare. Its id is a signature over the
agent's pending call, its session, the caller and the model, so no other caller can answer, and an answer fits no other
question. The pending call is looked up by this id. The client answers with the result of a tool call: JSON such as
`{"confirmed": true}`, or a plain word.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..core.confirmation_call import CONFIRM_TOOL as CONFIRM_TOOL
from ..core.confirmation_call import TOKEN_PREFIX
from ..core.events import ConfirmationRequired
from ..core.message import Message, Text, ToolCall
from ..core.signing import SigningKeys
from ..core.turn import ConfirmationReply

_PURPOSE = "question"

_YES = frozenset({"yes", "y", "true", "ok", "approve", "approved", "confirm", "confirmed", "allow", "allowed"})
"""Plain words that confirm. Every other text denies, because a tool that ran by mistake cannot be undone."""


class Question(NamedTuple):
    """A tool call of the agent that waits for a confirmation, in a session of the gateway."""

    session: str
    call_id: str
    expires: int
    """Unix time in seconds."""
    lasting: bool
    """The session is kept after its run, so it is not closed when the client disconnects."""


class Confirmation(NamedTuple):
    """The client's answer to a question."""

    question: Question
    reply: ConfirmationReply
    token: str
    """The id of the client's call."""


def question_arguments(event: ConfirmationRequired) -> str:
    """The arguments of the call of CONFIRM_TOOL, as JSON."""
    question = {"message": event.message, "tool": event.name}
    try:
        return json.dumps({**question, "arguments": json.loads(event.arguments)}, ensure_ascii=False)
    except (ValueError, RecursionError):
        return json.dumps({**question, "arguments": event.arguments}, ensure_ascii=False)


def sign(question: Question, keys: SigningKeys, scope: str, model: str) -> str:
    """The id of the question's call: 40 letters. `scope`: the caller's. `model`: the name that the client used."""
    return TOKEN_PREFIX + keys.sign(_PURPOSE, scope, model, *question)


def is_signed(token: str, question: Question, keys: SigningKeys, scope: str, model: str) -> bool:
    """Whether the id was signed for this question, caller and model."""
    return keys.verify(token.removeprefix(TOKEN_PREFIX), _PURPOSE, scope, model, *question)


def encode_question(question: Question) -> str:
    return json.dumps(list(question), separators=(",", ":"))


def decode_question(text: str) -> Question | None:
    """The reverse of `encode_question`; None for any other text."""
    try:
        session, call_id, expires, lasting = json.loads(text)
        return Question(str(session), str(call_id), int(expires), bool(lasting))
    except (ValueError, TypeError, OverflowError):
        return None


def find_result(messages: Sequence[Message], declared: Collection[str]) -> Message | None:
    """The newest tool result after the last answer that answers a question; None if there is none.

    `declared`: names of the client's tools. If CONFIRM_TOOL is among them, only the id marks a question.
    """
    called: dict[str, str] = {}
    found: Message | None = None
    for message in messages:
        if message.role == "assistant":
            called, found = {call.id: call.name for call in message.tool_calls}, None
        elif message.role == "tool" and _answers_question(message, called, declared):
            found = message
    return found


def _answers_question(message: Message, called: dict[str, str], declared: Collection[str]) -> bool:
    call_id = message.tool_call_id or ""
    if called.get(call_id) != CONFIRM_TOOL:
        return False
    return call_id.startswith(TOKEN_PREFIX) or CONFIRM_TOOL not in declared


def read_result(message: Message, question: Question) -> Confirmation:
    """The client's answer in the result of the question's call."""
    text = "".join(block.text for block in message.blocks if isinstance(block, Text))
    reply = ConfirmationReply(question.call_id, *_read_reply(text), text)
    return Confirmation(question, reply, message.tool_call_id or "")


def restore(messages: Iterable[Message], confirmation: Confirmation) -> tuple[Message, ...]:
    """The conversation with the agent's own call in place of the question, for agents that are run again."""
    token, call_id = confirmation.token, confirmation.question.call_id
    return tuple(
        replace(message, tool_calls=tuple(_restore(call, token, call_id) for call in message.tool_calls))
        for message in messages
        if message.tool_call_id != token
    )


def _restore(call: ToolCall, token: str, call_id: str) -> ToolCall:
    if call.id != token:
        return call
    try:
        asked = json.loads(call.arguments)
        return ToolCall(call_id, str(asked["tool"]), json.dumps(asked["arguments"], ensure_ascii=False))
    except (ValueError, TypeError, KeyError, RecursionError):  # the client has changed it
        return ToolCall(call_id, "", "{}")


def _read_reply(text: str) -> tuple[bool, str]:
    """Whether the text confirms, and the reason that it gives."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = text.strip()
    if isinstance(answer, dict):
        reason = answer.get("reason")
        return answer.get("confirmed") is True, reason if isinstance(reason, str) else ""
    if isinstance(answer, str):
        return answer.lower().rstrip(".!") in _YES, answer
    return answer is True, ""
