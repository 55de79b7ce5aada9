"""Finds the tools that the client runs, and checks its `tool_choice`.

Decision D4: a tool of the type `custom` is the client's to run, unless it forbids all calls. Tools of other types are
the service's own, and are passed on.

Source: types of the `anthropic` package 2.14, `ToolParam`, `ToolChoiceParam`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.exact_json import parse_nearest, read_items, read_members
from ....core.json_text import JsonText
from ....core.message import Tool
from .validation import clip, fault


def parse_tool_names(body: Mapping[str, Any]) -> frozenset[str]:
    """The names of the client's tools that the agent may call. `body` has been checked.

    Raises InvalidRequest for a choice that names an undeclared tool, or for a choice without tools.
    """
    declared = frozenset(tool["name"] for tool in body.get("tools") or () if is_client_tool(tool))
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice["type"] in ("any", "tool") and not body.get("tools"):
        raise fault("tool_choice", "it may only be specified while providing tools")
    if choice["type"] == "tool" and choice["name"] not in _names(body):
        raise fault("tool_choice", f"Tool '{clip(choice['name'])}' not found in provided tools")
    return frozenset() if choice["type"] == "none" else declared


def is_client_tool(tool: Mapping[str, Any]) -> bool:
    return tool.get("type", "custom") in ("custom", None)


def parse_tools(body: Mapping[str, Any], exact: Mapping[str, JsonText], tool_names: frozenset[str]) -> tuple[Tool, ...]:
    """The declarations of `tool_names`. `body` has been checked. `exact`: as in AgentRequest."""
    if not tool_names:
        return ()
    schemas = _exact_schemas(exact["tools"].text) if "tools" in exact else {}
    return tuple(
        Tool(tool["name"], tool.get("description") or "", schemas.get(tool["name"]) or tool["input_schema"])
        for tool in body["tools"]
        if is_client_tool(tool)
    )


def _names(body: Mapping[str, Any]) -> set[Any]:
    return {tool.get("name") for tool in body["tools"]}


def _exact_schemas(tools: str) -> dict[str, JsonText]:
    """The exact schemas of tools, by name."""
    schemas: dict[str, JsonText] = {}
    for tool in map(dict, map(read_members, read_items(tools))):
        if "name" in tool and tool.get("input_schema", "").startswith("{"):
            schemas[parse_nearest(tool["name"].encode())] = JsonText(tool["input_schema"])
    return schemas
