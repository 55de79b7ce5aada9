"""A client's request for a run of an agent, in the words of no client's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from .immutable import readonly
from .json_text import JsonText
from .message import Message, Tool


@readonly
class AgentRequest:
    model: str
    """"" if the client leaves the choice to the proxy."""
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    tool_names: frozenset[str]
    """The tools that the client runs; empty if it forbids calls."""
    legacy_functions: bool
    """Declared through `functions`, so calls are to be answered as `function_call`."""
    parameters: Mapping[str, Any]
    """The client's other fields that are not null, unknown ones too; they travel in the turn's metadata."""
    metadata_key: str
    """The key of `parameters` in the metadata: the name of the client's API."""
    exact: Mapping[str, JsonText] = field(default_factory=dict)
    """Parameters with numbers that no Python value holds: sent as they are written, in place of the nearest value."""
    tools: tuple[Tool, ...] = ()
    """Declarations of `tool_names`, for agents that take tools beside the messages."""
    tool_parameters: frozenset[str] = frozenset()
    """The parameters from which `tools` were read; an agent that takes tools does not get them twice."""
