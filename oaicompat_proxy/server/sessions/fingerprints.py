"""Names and digests by which a session is found again. Pure.

A client's own session name, and a conversation that is recognised, are both turned into keyed hashes together
with the caller's scope (its API key): nobody reaches another caller's session, and no character of a name can
choose another app.

A conversation is compared as clients keep it: texts without their white space, which some trim; tool calls by
name and arguments, which some serialise anew; no ids, no reasoning, which many drop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ...core.answer import Part, TextBatch, TextPart, ToolCallArguments, ToolCallOpened
from ...core.message import Block, Media, Message

MAX_ARGUMENT_MARKS = 50_000
"""Commas, colons and brackets in the arguments of all tool calls of a conversation, up to which they are parsed."""

MAX_KEPT_ARGUMENTS = 4 * 1024 * 1024
"""Characters of arguments of one answer's calls that are kept for it; an answer with more is not recognised."""

PIECE = 64 * 1024
"""Characters of a text whose white space is removed at a time."""


def named_session(secret: bytes, scope: str, app: str, name: str) -> str:
    """The gateway's name for a session that the client calls `name`."""
    return "oc-" + _hmac(secret, ["session", scope, app, name])


def name_digest(secret: bytes, scope: str, name: str) -> str:
    """Stands for what the client calls `name`, whatever app it asks for."""
    return _hmac(secret, ["name", scope, name])


def conversation_digest(secret: bytes, scope: str, model: str, messages: Iterable[Message], *, name: str = "") -> str:
    """Equal for the same caller, model, session name and conversation."""
    return _hmac(secret, [*_prefix(scope, model, name), *map(_CanonicalForm().of, messages)])


def _prefix(scope: str, model: str, name: str) -> list[Any]:
    return ["named conversation", scope, name, model] if name else ["conversation", scope, model]


def answered_part(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation up to its last answer; empty if there is none."""
    for length in range(len(messages), 0, -1):
        if messages[length - 1].role == "assistant":
            return messages[:length]
    return ()


def is_whole(messages: Iterable[Message]) -> bool:
    """Whether the conversation comes from a client that sends all of it: it holds more than what a user says."""
    return any(message.role in ("system", "assistant") for message in messages)


class AnswerDigest:
    """Takes the chunks of an answer; then the digest of the conversation that ends with it.

    Needs no more memory for a longer text.
    """

    def __init__(self, secret: bytes, scope: str, model: str, messages: Iterable[Message], *, name: str = "") -> None:
        """The first four and `name` are those of `conversation_digest`."""
        self._secret = secret
        # moving
        self._form = _CanonicalForm()
        self._before = [*_prefix(scope, model, name), *map(self._form.of, messages)]
        self._text = hashlib.sha256()
        self._names: list[str] = []
        self._arguments: list[list[str]] = []
        self._room = MAX_KEPT_ARGUMENTS

    def add(self, chunk: Part) -> None:
        if isinstance(chunk, (TextPart, TextBatch)):
            _update(self._text, chunk.text)
        elif isinstance(chunk, ToolCallOpened):
            self._names.append(chunk.name)
            self._arguments.append([])
        elif isinstance(chunk, ToolCallArguments):
            self._room -= len(chunk.arguments)
            if self._room >= 0:
                self._arguments[chunk.position].append(chunk.arguments)

    def hexdigest(self) -> str:
        calls = [
            [name, self._form.of_arguments("".join(pieces))]
            for name, pieces in zip(self._names, self._arguments, strict=True)
        ]
        return _hmac(self._secret, [*self._before, ["assistant", self._text.hexdigest(), [], calls]])


def _hmac(secret: bytes, value: list[Any]) -> str:
    return hmac.new(secret, json.dumps(value).encode(), hashlib.sha256).hexdigest()[:48]


_SORTED = json.JSONEncoder(sort_keys=True)


class _CanonicalForm:
    """What is compared of the messages of one conversation, which come in their order.

    Arguments that hold too much are compared as they are written: what a client serialises anew is then not
    recognised. What was seen before decides, so the same conversation always has the same form.
    """

    def __init__(self) -> None:
        self._room = MAX_ARGUMENT_MARKS

    def of(self, message: Message) -> list[Any]:
        text = hashlib.sha256()
        media: list[str] = []
        for block in message.blocks:
            if isinstance(block, Media):
                media.append(_media_digest(block))
            else:
                _update(text, block.text)
        calls = [[call.name, self.of_arguments(call.arguments)] for call in message.tool_calls]
        return [message.role, text.hexdigest(), media, calls]

    def of_arguments(self, arguments: str) -> str:
        marks = sum(map(arguments.count, ",:[{"))
        self._room -= marks
        if self._room < 0:
            return json.dumps(arguments)
        try:
            return _SORTED.encode(json.loads(arguments))
        except (ValueError, RecursionError):
            return json.dumps(arguments)


def _media_digest(block: Block) -> str:
    return hashlib.sha256(repr(block).encode("utf-8", "surrogatepass")).hexdigest()


def _update(digest: hashlib._Hash, text: str) -> None:
    """With the text less its white space. A long one goes piece by piece: its words together need much memory."""
    for start in range(0, len(text), PIECE):
        digest.update("".join(text[start : start + PIECE].split()).encode("utf-8", "replace"))
