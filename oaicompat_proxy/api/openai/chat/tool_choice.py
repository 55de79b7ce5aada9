"""Finds the tools that the client runs, and checks its `tool_choice`.

Decision D4: a tool that the client declares is the client's to run, unless it forbids all calls.

Source: `api/openai/PROTOCOL.md`, "Tools". The service refuses any `tool_choice` without `tools`; here "auto" and "none"
are accepted, because they have no effect and client libraries send them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ....core.errors import InvalidRequest
from ..invalid_requests import clip, invalid_value

_FORBIDDEN = "none"
_NONE: frozenset[str] = frozenset()
_PARAMETERS = frozenset({"tools", "functions", "tool_choice", "function_call"})
_WITHOUT_EFFECT = (None, "none", "auto")


def parse_tool_names(body: Mapping[str, Any]) -> frozenset[str]:
    """The names of the client's tools that the agent may call. `body` has been checked.

    Raises InvalidRequest for a choice that names an undeclared tool, or for a choice without tools.
    """
    if _PARAMETERS.isdisjoint(body):
        return _NONE
    tools, functions = body.get("tools") or (), body.get("functions") or ()
    if tools and functions:
        raise InvalidRequest(
            "Setting 'tools' and 'functions' at the same time is not supported. Use 'tools'.",
            param="functions",
            code="invalid_parameter_combination",
        )
    declared = {(tool["type"], tool[tool["type"]]["name"]) for tool in tools}
    _check_tool_choice(body.get("tool_choice"), declared)
    names = frozenset(function["name"] for function in functions)
    _check_function_call(body.get("function_call"), names)
    if _FORBIDDEN in (body.get("tool_choice"), body.get("function_call")):
        return frozenset()
    return names.union(name for _, name in declared)


def _check_tool_choice(choice: Any, declared: set[tuple[str, str]]) -> None:
    if choice in _WITHOUT_EFFECT:
        return
    if not declared:
        raise InvalidRequest(
            "'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
            code="invalid_value",
        )
    if isinstance(choice, dict):
        for path, kind, name in _chosen(choice):
            if (kind, name) not in declared:
                raise invalid_value(path, f"the {kind} tool '{clip(name)}' is not declared in 'tools'.")


def _chosen(choice: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Path, kind and name of each tool that the choice names."""
    kind = choice["type"]
    if kind != "allowed_tools":
        yield f"tool_choice.{kind}.name", kind, choice[kind]["name"]
        return
    for index, tool in enumerate(choice[kind]["tools"]):
        inner = tool["type"]
        yield f"tool_choice.allowed_tools.tools[{index}].{inner}.name", inner, tool[inner]["name"]


def _check_function_call(choice: Any, names: frozenset[str]) -> None:
    if isinstance(choice, dict) and choice["name"] not in names:
        raise invalid_value("function_call.name", f"'{clip(choice['name'])}' is not declared in 'functions'.")
