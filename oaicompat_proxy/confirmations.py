"""A tool of the agent's that waits for a human, as a question to the client (setting `confirmations = ask`).

The question is a call of a tool that nobody declared, `confirm_tool_call`, whose id is a signed token: it says
which call of which session waits, so that any worker can pass the answer on, and only the same caller can give
it. The client answers as it answers any tool call: with JSON such as `{"confirmed": true}`, or with a plain word.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from .errors import InvalidRequest
from .events import ConfirmationRequired
from .openai.request import Message, ToolCall
from .turn import Answer, Text

CONFIRM_TOOL = "confirm_tool_call"

TOKEN_PREFIX = "confirm_"

_SIGNATURE = 16
"""Bytes of the signature: 128 bits cannot be guessed, and ids stay short."""

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
    answer: Answer
    token: str
    """The id of the client's call."""


def describe(event: ConfirmationRequired) -> str:
    """The arguments of the client's call, as JSON."""
    question = {"message": event.message, "tool": event.name}
    try:
        return json.dumps({**question, "arguments": json.loads(event.arguments)}, ensure_ascii=False)
    except (ValueError, RecursionError):
        return json.dumps({**question, "arguments": event.arguments}, ensure_ascii=False)


def sign(question: Question, secret: bytes, scope: str) -> str:
    """The id of the client's call. `scope`: who may answer."""
    payload = json.dumps(list(question), separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(_signature(payload, secret, scope) + payload)
    return TOKEN_PREFIX + token.decode().rstrip("=")


def find_confirmation(messages: Iterable[Message], *, secret: bytes, scope: str, now: float) -> Confirmation | None:
    """The client's answer to a question, or None if it answers none.

    Raises InvalidRequest for a token that is forged, foreign or too old.
    """
    for message in messages:
        if message.role == "tool" and (message.tool_call_id or "").startswith(TOKEN_PREFIX):
            question = _open(message.tool_call_id or "", secret, scope)
            if question is None or question.expires < now:
                raise InvalidRequest(
                    "This confirmation is not, or no longer, waited for; send the conversation again without it.",
                    param="messages",
                )
            text = "".join(block.text for block in message.blocks if isinstance(block, Text))
            answer = Answer(question.call_id, *_read_answer(text), text)
            return Confirmation(question, answer, message.tool_call_id or "")
    return None


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


def _signature(payload: bytes, secret: bytes, scope: str) -> bytes:
    return hmac.new(secret, scope.encode() + b"\0" + payload, hashlib.sha256).digest()[:_SIGNATURE]


def _open(token: str, secret: bytes, scope: str) -> Question | None:
    encoded = token.removeprefix(TOKEN_PREFIX)
    try:
        signed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        signature, payload = signed[:_SIGNATURE], signed[_SIGNATURE:]
        if not hmac.compare_digest(signature, _signature(payload, secret, scope)):
            return None
        session, call_id, expires, lasting = json.loads(payload)
        return Question(str(session), str(call_id), int(expires), bool(lasting))
    except (ValueError, TypeError, OverflowError):
        return None


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
