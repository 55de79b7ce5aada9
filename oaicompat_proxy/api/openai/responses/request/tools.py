"""Finds the tools that the client runs, and checks its `tool_choice`.

Decision D4: a function or custom tool that the client declares is the client's to run, unless it forbids all calls.
Tools of other types are run by OpenAI's service or by MCP servers; their declarations are passed on.

Source: OpenAI API description, `FunctionTool`, `CustomToolParam`, `ToolChoiceParam`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .....core.errors import InvalidRequest
from .....core.exact_json import parse_nearest, read_items, read_members
from .....core.json_text import JsonText
from .....core.message import Tool
from ...chat.tools import NO_ARGUMENTS
from ...custom_tools import FREE_TEXT
from ...invalid_requests import clip, invalid_value

CLIENT_TYPES = frozenset({"function", "custom"})
_FORBIDDEN = "none"
_NONE: frozenset[str] = frozenset()


def parse_tool_names(body: Mapping[str, Any]) -> frozenset[str]:
    """The names of the client's tools that the agent may call. `body` has been checked.

    Raises InvalidRequest for a choice that names an undeclared tool, or for a choice without tools.
    """
    tools, choice = body.get("tools") or (), body.get("tool_choice")
    declared = {(tool["type"], tool["name"]) for tool in tools if tool["type"] in CLIENT_TYPES}
    if choice == "required" or isinstance(choice, dict):
        if not tools:
            message = "'tool_choice' is only allowed when 'tools' are specified."
            raise InvalidRequest(message, param="tool_choice", code="invalid_value")
        _check_choice(choice, declared)
    return _NONE if choice == _FORBIDDEN else frozenset(name for _, name in declared)


def parse_tools(body: Mapping[str, Any], exact: Mapping[str, JsonText], tool_names: frozenset[str]) -> tuple[Tool, ...]:
    """The declarations of `tool_names`. `body` has been checked. `exact`: as in AgentRequest."""
    if not tool_names:
        return ()
    schemas = _exact_schemas(exact["tools"].text) if "tools" in exact else {}
    return tuple(
        Tool(tool["name"], tool.get("description") or "", schemas.get(tool["name"]) or _arguments_schema(tool))
        for tool in body["tools"]
        if tool["type"] in CLIENT_TYPES
    )


def custom_names(body: Mapping[str, Any]) -> list[str]:
    """The tools whose input is free text."""
    return sorted({tool["name"] for tool in body.get("tools") or () if tool["type"] == "custom"})


def server_labels(body: Mapping[str, Any]) -> list[str]:
    """The labels of the servers whose tools the client can approve."""
    labels = {tool.get("server_label") for tool in body.get("tools") or () if tool["type"] == "mcp"}
    return sorted(label for label in labels if label)


def _check_choice(choice: Any, declared: set[tuple[str, str]]) -> None:
    if not isinstance(choice, dict):
        return
    for path, kind, name in _chosen(choice):
        if kind in CLIENT_TYPES and (kind, name) not in declared:
            raise invalid_value(path, f"the {kind} tool '{clip(name)}' is not declared in 'tools'.")


def _chosen(choice: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Path, type and name of each tool that the choice names."""
    if choice["type"] != "allowed_tools":
        yield "tool_choice.name", choice["type"], choice.get("name") or ""
        return
    for index, tool in enumerate(choice["tools"]):
        yield f"tool_choice.tools[{index}].name", tool["type"], tool.get("name") or ""


def _arguments_schema(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    return FREE_TEXT if tool["type"] == "custom" else tool.get("parameters") or NO_ARGUMENTS


def _exact_schemas(tools: str) -> dict[str, JsonText]:
    """The exact schemas of functions, by name."""
    schemas: dict[str, JsonText] = {}
    for tool in map(dict, map(read_members, read_items(tools))):
        if "name" in tool and tool.get("parameters", "").startswith("{"):
            schemas[parse_nearest(tool["name"].encode())] = JsonText(tool["parameters"])
    return schemas
