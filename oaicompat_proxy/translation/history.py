"""A conversation message by message, and the client's tools, for agents that take both as they are.

Such agents tell messages apart by id, which OpenAI's messages lack: an id is made from all that was said up to its
message, so a client that sends its conversation again sends the same ids. Calls of the older kind have no ids
either, and get their message's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.exact_json import parse_nearest, read_items, read_members
from ..core.request import ChatRequest, Message
from ..core.turn import Block, Call, JsonText, Text, Tool, Utterance
from . import narration

FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The arguments of a custom tool, which takes text."""

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def utter(messages: Sequence[Message]) -> Iterator[Utterance]:
    said = hashlib.sha256()
    legacy_id = ""
    tools: dict[str, str] = {}
    for message in messages:
        said.update(repr(message).encode("utf-8", "surrogatepass"))
        message_id = f"m-{said.hexdigest()[:24]}"
        if message.role == "assistant":
            legacy_id = message_id
        calls = tuple(Call(call.id or legacy_id, call.name, call.arguments) for call in message.tool_calls)
        tools.update((call.id, call.name) for call in calls)
        answers = (message.tool_call_id or legacy_id) if message.role == "tool" else None
        name = message.name or (tools.get(answers) if answers is not None else None)
        yield Utterance(message.role, tuple(untold(message)), calls, answers, name, message_id)


def untold(message: Message) -> Iterator[Block]:
    """What was said, without what the proxy told of the agent's deeds."""
    for block in message.blocks:
        if isinstance(block, Text) and message.role == "assistant":
            yield Text(narration.remove(block.text))
        else:
            yield block


def declared_tools(request: ChatRequest) -> Iterator[Tool]:
    """The tools that the agent may call in the client's name: none if the client forbids calls."""
    tools = [tool[tool["type"]] | {"type": tool["type"]} for tool in request.parameters.get("tools", ())]
    exact = _exact_schemas(request.exact)
    for tool in [*tools, *request.parameters.get("functions", ())]:
        if tool["name"] in request.tool_names:
            schema = exact.get(tool["name"]) or _arguments_schema(tool)
            yield Tool(tool["name"], tool.get("description") or "", schema)


def _arguments_schema(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if tool.get("type") == "custom":
        return FREE_TEXT
    return tool.get("parameters") or NO_ARGUMENTS


def _exact_schemas(exact: Mapping[str, JsonText]) -> dict[str, JsonText]:
    """By the functions' names, where one of them holds a number that no value does."""
    functions = list(map(_members, read_items(exact["functions"].text))) if "functions" in exact else []
    for tool in map(_members, read_items(exact["tools"].text)) if "tools" in exact else ():
        if "function" in tool:
            functions.append(_members(tool["function"]))
    schemas = [(function["name"], function.get("parameters", "null")) for function in functions]
    return {parse_nearest(name.encode()): JsonText(schema) for name, schema in schemas if schema.startswith("{")}


def _members(text: str) -> dict[str, str]:
    return dict(read_members(text))
