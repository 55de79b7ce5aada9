"""A tool of the agent's that waits for a human, as a question to the client (setting `confirmations = ask`).

The question is a call of a tool that nobody declared, `confirm_tool_call`. Its id is a signature over what waits (which
call of which session), who was asked, and with which model: nobody else can answer it, and it answers nothing else.
What waits is looked up by the id. The client answers as it answers any tool call: with JSON such as
`{"confirmed": true}`, or with a plain word.
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
"""Plain words that confirm; every other word denies, since a wrong yes cannot be taken back."""


class Question(NamedTuple):
    """What waits: a call of the agent's in a session of the gateway."""

    session: str
    call_id: str
    expires: int
    """Unix time in seconds."""
    lasting: bool
    """The session goes on after its run, so it is not closed for a reader that leaves."""


class Confirmation(NamedTuple):
    """What the client said to a question."""

    question: Question
    answer: ConfirmationReply
    token: str
    """The id of the client's call."""


def describe(event: ConfirmationRequired) -> str:
    """The arguments of the client's call, as JSON."""
    question = {"message": event.message, "tool": event.name}
    try:
        return json.dumps({**question, "arguments": json.loads(event.arguments)}, ensure_ascii=False)
    except (ValueError, RecursionError):
        return json.dumps({**question, "arguments": event.arguments}, ensure_ascii=False)


def sign(question: Question, keys: SigningKeys, scope: str, model: str) -> str:
    """The id of the client's call: 40 letters. `scope`: who may answer. `model`: as the client calls it."""
    return TOKEN_PREFIX + keys.sign(_PURPOSE, scope, model, *question)


def is_signed(token: str, question: Question, keys: SigningKeys, scope: str, model: str) -> bool:
    """Whether this caller was asked this question with this model."""
    return keys.verify(token.removeprefix(TOKEN_PREFIX), _PURPOSE, scope, model, *question)


def write_question(question: Question) -> str:
    return json.dumps(list(question), separators=(",", ":"))


def read_question(text: str) -> Question | None:
    """What `write_question` has written; None if it is anything else."""
    try:
        session, call_id, expires, lasting = json.loads(text)
        return Question(str(session), str(call_id), int(expires), bool(lasting))
    except (ValueError, TypeError, OverflowError):
        return None


def find_result(messages: Sequence[Message], declared: Collection[str]) -> Message | None:
    """The client's newest result, if it is one for a question; None if none of the new results is.

    `declared`: the client's own tools. One of them may be called as the question is; then only the id tells.
    """
    called: dict[str, str] = {}
    found: Message | None = None
    for message in messages:
        if message.role == "assistant":
            called, found = {call.id: call.name for call in message.tool_calls}, None
        elif message.role == "tool" and _answers(message, called, declared):
            found = message
    return found


def _answers(message: Message, called: dict[str, str], declared: Collection[str]) -> bool:
    call_id = message.tool_call_id or ""
    if called.get(call_id) != CONFIRM_TOOL:
        return False
    return call_id.startswith(TOKEN_PREFIX) or CONFIRM_TOOL not in declared


def read_result(message: Message, question: Question) -> Confirmation:
    """What the client said to the question."""
    text = "".join(block.text for block in message.blocks if isinstance(block, Text))
    answer = ConfirmationReply(question.call_id, *_read_answer(text), text)
    return Confirmation(question, answer, message.tool_call_id or "")


def restore(messages: Iterable[Message], confirmation: Confirmation) -> tuple[Message, ...]:
    """The conversation as an agent knows it that is run again: its own call in place of the question."""
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


def _read_answer(text: str) -> tuple[bool, str]:
    """Whether it is a yes, and the reason that was given."""
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
