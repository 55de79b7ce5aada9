"""Fingerprints by which a session is found again: keyed hashes of conversations and of clients' session names. Pure.

Each hash includes the caller's scope (its API key), so no caller reaches the session of another, and no character of
a name can choose another app.

A fingerprint ignores the changes that clients make to a conversation: white space, which some trim; the JSON form of
tool arguments, which some serialise again; ids and reasoning, which many drop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ...core.answer import Part, TextBatch, TextPart, ToolCallArguments, ToolCallOpened
from ...core.caller import MARK_LENGTH, owner_mark
from ...core.message import Block, Media, Message

MAX_ARGUMENT_MARKS = 50_000
"""Commas, colons and brackets in the arguments of a conversation's tool calls; arguments beyond them are not parsed."""

MAX_KEPT_ARGUMENTS = 4 * 1024 * 1024
"""Characters of tool arguments that are kept for one answer; an answer with more is not recognised."""

PIECE = 64 * 1024
"""Characters from which white space is removed at a time."""


def derive_session_name(secret: bytes, scope: str, app: str, name: str) -> str:
    """The gateway's name for the session that the client calls `name`."""
    return "oc-" + _hmac(secret, ["session", scope, app, name])


def name_fingerprint(secret: bytes, scope: str, name: str) -> str:
    """A fingerprint of the caller and the name; the same for every app."""
    return owner_mark(scope) + _hmac(secret, ["name", scope, name])


def point_fingerprint(secret: bytes, scope: str, model: str, instructions: str, point: str) -> str:
    """The fingerprint of the conversation that ends with this answer id, which is random, so no text is hashed."""
    return owner_mark(scope) + _hmac(secret, ["point", scope, model, instructions, point])


def conversation_fingerprint(
    secret: bytes, scope: str, model: str, messages: Iterable[Message], *, name: str = ""
) -> str:
    """A fingerprint of caller, model, session name and conversation."""
    return owner_mark(scope) + _hmac(secret, [*_prefix(scope, model, name), *map(_CanonicalForm().of, messages)])


def _prefix(scope: str, model: str, name: str) -> list[Any]:
    return ["named conversation", scope, name, model] if name else ["conversation", scope, model]


def up_to_last_answer(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation up to its last answer; empty if there is none."""
    for length in range(len(messages), 0, -1):
        if messages[length - 1].role == "assistant":
            return messages[:length]
    return ()


def is_whole_conversation(messages: Iterable[Message]) -> bool:
    """Whether the client sends whole conversations: at least one message is not a user message."""
    return any(message.role in ("system", "assistant") for message in messages)


def mark_in(fingerprint: str) -> str:
    """The caller's mark, with which each fingerprint begins (but not the names of `derive_session_name`)."""
    return fingerprint[: 2 * MARK_LENGTH]


class PointFingerprint:
    """The fingerprint of an answer that later requests name by its id."""

    def __init__(self, secret: bytes, scope: str, model: str, instructions: str, point: str) -> None:
        """The same parameters as `point_fingerprint`."""
        self._digest = point_fingerprint(secret, scope, model, instructions, point)

    def hexdigest(self) -> str:
        return self._digest


class AnswerFingerprint:
    """Receives the parts of an answer; `hexdigest` is then the fingerprint of the conversation that ends with it.

    Text is hashed while it streams, so its length costs no memory.
    """

    def __init__(self, secret: bytes, scope: str, model: str, messages: Iterable[Message], *, name: str = "") -> None:
        """The same parameters as `conversation_fingerprint`."""
        self._secret = secret
        self._mark = owner_mark(scope)
        # state
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
        return self._mark + _hmac(self._secret, [*self._before, ["assistant", self._text.hexdigest(), [], calls]])


def _hmac(secret: bytes, value: list[Any]) -> str:
    return hmac.new(secret, json.dumps(value).encode(), hashlib.sha256).hexdigest()[:48]


_SORTED = json.JSONEncoder(sort_keys=True)


class _CanonicalForm:
    """The form in which the messages of one conversation are hashed, one after the other.

    Arguments beyond MAX_ARGUMENT_MARKS are hashed as text, so a client that serialises them again is not recognised.
    The limit counts from the first message, so equal conversations always have the same form.
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
    """Hashes the text without white space, in pieces: splitting a long text at once needs many times its memory."""
    for start in range(0, len(text), PIECE):
        digest.update("".join(text[start : start + PIECE].split()).encode("utf-8", "replace"))
