"""A conversation, independent of any protocol: messages, their content, and the tools that may be called in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .immutable import readonly
from .json_text import JsonText

Role = Literal["system", "user", "assistant", "tool"]


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


@readonly
class ToolCall:
    id: str
    name: str
    arguments: str
    """JSON text as the client sent it."""


@readonly
class Message:
    role: Role
    blocks: tuple[Block, ...]
    name: str | None = None
    """The author's name, where several have the same role; for a tool's result, the tool if it is known."""
    tool_calls: tuple[ToolCall, ...] = ()
    """An assistant's calls. Calls of OpenAI's older `functions` have the id ""."""
    tool_call_id: str | None = None
    """The call that a tool's result answers."""
    id: str = field(default="", repr=False)
    """For agents that need one: unique in its conversation, and equal whenever the same conversation is sent again."""


@readonly
class Tool:
    """A tool that the client runs."""

    name: str
    description: str
    parameters: Mapping[str, Any] | JsonText
    """JSON schema of its arguments."""
