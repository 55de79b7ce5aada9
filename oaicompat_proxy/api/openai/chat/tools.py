"""The tools that a client declares in `tools` or in the older `functions`.

Source: OpenAI API description, `ChatCompletionTool`, `CustomToolChatCompletions`, `FunctionObject`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ....core.exact_json import parse_nearest, read_items, read_members
from ....core.json_text import JsonText
from ....core.message import Tool
from ..custom_tools import FREE_TEXT

TOOL_PARAMETERS = frozenset({"tools", "functions"})

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}

_NONE: tuple[Tool, ...] = ()


def parse_tools(body: Mapping[str, Any], exact: Mapping[str, JsonText], tool_names: frozenset[str]) -> tuple[Tool, ...]:
    """The declarations of `tool_names`. `body` has been checked. `exact`: as in AgentRequest."""
    if not tool_names:
        return _NONE
    schemas = _exact_schemas(exact) if exact else {}
    return tuple([_tool(each, schemas) for each in _declarations(body) if each["name"] in tool_names])


def custom_names(body: Mapping[str, Any]) -> list[str]:
    """The tools whose input is free text."""
    tools = body.get("tools")
    return sorted({tool["custom"]["name"] for tool in tools if tool["type"] == "custom"}) if tools else []


def _declarations(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for tool in body.get("tools") or ():
        yield tool[tool["type"]] | {"type": tool["type"]}
    yield from body.get("functions") or ()


def _tool(declaration: Mapping[str, Any], schemas: Mapping[str, JsonText]) -> Tool:
    name = declaration["name"]
    return Tool(name, declaration.get("description") or "", schemas.get(name) or _arguments_schema(declaration))


def _arguments_schema(declaration: Mapping[str, Any]) -> Mapping[str, Any]:
    if declaration.get("type") == "custom":
        return FREE_TEXT
    return declaration.get("parameters") or NO_ARGUMENTS


def _exact_schemas(exact: Mapping[str, JsonText]) -> dict[str, JsonText]:
    """The exact schemas of functions, by name."""
    functions = list(map(_members, read_items(exact["functions"].text))) if "functions" in exact else []
    for tool in map(_members, read_items(exact["tools"].text)) if "tools" in exact else ():
        if "function" in tool:
            functions.append(_members(tool["function"]))
    schemas = [(function["name"], function.get("parameters", "null")) for function in functions]
    return {parse_nearest(name.encode()): JsonText(schema) for name, schema in schemas if schema.startswith("{")}


def _members(text: str) -> dict[str, str]:
    return dict(read_members(text))
