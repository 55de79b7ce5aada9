"""The tool call by which the proxy asks a client to confirm a call of the agent's."""

from __future__ import annotations

CONFIRM_TOOL = "confirm_tool_call"
"""The name of the call's tool, which no client declared."""

TOKEN_PREFIX = "confirm_"
"""What its id begins with; the rest is a signature."""
