"""The tool call by which the proxy asks a client to confirm one of the agent's own tool calls."""

from __future__ import annotations

CONFIRM_TOOL = "confirm_tool_call"
"""The name of the tool; clients do not declare it."""

TOKEN_PREFIX = "confirm_"
"""The call's id is this prefix and a signature."""
