"""The options that decide how the events of a run become the bytes of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from .immutable import readonly


@readonly
class AnswerOptions:
    """Options from the request and from the settings; a recording stores them with the run."""

    api: str = "chat"
    """The client API's name."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Options of this API alone, as JSON values."""
    model: str = "default"
    stream: bool = True
    tool_names: tuple[str, ...] = ()
    """Names of the tools that the client runs."""
    tick_separator: str = "\n\n"
    server_tools: str = "hide"
    """Where the agent's own tool calls are shown: `hide`, `reasoning`, `content` or `items`."""
    tool_output_max: int = 16 * 1024
    """Characters of a tool's result in an item."""
    confirmations: str = "deny"
    resumed: bool = False
    """The answer is the rest of a run that waited for the client."""
    strip_fences: bool = False
    """The answer is JSON, and a Markdown fence around it is taken off."""
    dialect: str = "agentick"
