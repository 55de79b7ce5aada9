"""Everything that decides how the events of a run become the bytes of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """How the client asked, and how the proxy was set; a recording keeps it with the run."""

    api: str = "chat"
    """The client API's name."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """What only that API reads, as JSON values."""
    model: str = "default"
    stream: bool = True
    tool_names: tuple[str, ...] = ()
    """The tools that the client runs."""
    tick_separator: str = "\n\n"
    server_tools: str = "hide"
    """Where the agent's own tool calls are shown: `hide`, `reasoning`, `content` or `items`."""
    tool_output_max: int = 16 * 1024
    """Characters of a tool's result in an item."""
    confirmations: str = "deny"
    resumed: bool = False
    """The rest of a run that waited for the client."""
    dialect: str = "agentick"
