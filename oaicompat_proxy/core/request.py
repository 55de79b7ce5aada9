"""What a client asks for, in the words of no client's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from .immutable import readonly
from .turn import Block, JsonText

Role = Literal["system", "user", "assistant", "tool"]


@readonly
class ToolCall:
    id: str
    name: str
    arguments: str
    """JSON text as the client sent it; for a custom tool its input, which is free text."""


@readonly
class Message:
    role: Role
    blocks: tuple[Block, ...]
    name: str | None = None
    """Who speaks; for a result of the older kind the function's name, for other results None."""
    tool_calls: tuple[ToolCall, ...] = ()
    """An assistant's calls; one of the older kind has the id ""."""
    tool_call_id: str | None = None


@readonly
class ChatRequest:
    model: str
    """"" if the client leaves the choice to the proxy."""
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    tool_names: frozenset[str]
    """The tools that are the client's to run; empty if it forbids calls."""
    legacy_functions: bool
    """Declared through `functions`, so calls are to be answered as `function_call`."""
    parameters: Mapping[str, Any]
    """What else the client sent and is not null, unknown fields too."""
    exact: Mapping[str, JsonText] = field(default_factory=dict)
    """Those of them that are passed on as they were written, because their values here are only the nearest ones."""
