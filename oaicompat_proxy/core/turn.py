"""What the proxy sends the agent for one request, in words of neither side.

A turn is made by `translation.prompt` and put on the wire by a dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .immutable import readonly


@readonly
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, a sound or a file, by address or by value: exactly one of `url`, `data`, `file_id` is set."""

    kind: Literal["image", "audio", "document"]
    url: str | None = None
    data: str | None = None
    """Base64 text, without a `data:` prefix."""
    file_id: str | None = None
    mime_type: str | None = None
    name: str | None = None


Block = Text | Media


@dataclass(frozen=True, slots=True)
class JsonText:
    """A value as JSON, to be sent as it is written: it may be one that no parser's values hold."""

    text: str


@readonly
class Call:
    """A tool call of an earlier message. `arguments`: JSON text."""

    id: str
    name: str
    arguments: str


@readonly
class Utterance:
    """One message of a conversation, for gateways that take them all."""

    role: Literal["system", "user", "assistant", "tool"]
    blocks: tuple[Block, ...]
    calls: tuple[Call, ...] = ()
    call_id: str | None = None
    """The call that a tool's result answers."""
    name: str | None = None
    """Who speaks, where several have the same role; of a result, the tool."""
    id: str = ""
    """The same whenever the same conversation is sent again, and never that of another message in it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to something that the agent waited for."""

    question: str
    """The agent's own word for what waits, as its `ConfirmationRequired` had it; also the id of its call in the
    conversation."""
    confirmed: bool
    reason: str = ""
    text: str = ""
    """As it was said: what was asked may have been no yes or no."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that is the client's to run."""

    name: str
    description: str
    parameters: Mapping[str, Any] | JsonText
    """JSON schema of its arguments."""


@readonly
class Turn:
    """One user message for the agent, with what the client said beside it."""

    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the client said that the native call has no place for; JSON values, dropped if empty."""
    utterances: tuple[Utterance, ...] = ()
    """The whole conversation, where it is to be sent message by message; `blocks` are the last one's."""
    tools: tuple[Tool, ...] = ()
    """The client's tools, for gateways that take them apart from the metadata."""
    answer: Answer | None = None
    """To what a run before this one waits for, where that takes another run."""
    mark: str = ""
    """Sent as the id of the last message, so that the agent's stream shows whether the message has come."""
